/** Who types ahead waits for the answer before: that is nothing late, on a real server. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'
import { type LivePage, openPage } from './live.ts'

const MESSAGES = 7
/** Of one answer: the last ones wait for longer than the goal, which no single one comes near. */
const ANSWER = 'demo: tokens=40 delay=15 ttft=1'

let app: TestApp
let page: LivePage
beforeAll(async () => {
  app = await startTestApp()
  page = await openPage(app)
})
afterAll(async () => {
  page?.close()
  await app?.stop()
})

it('messages that were typed ahead raise no alarm, and their answers are good ones', async () => {
  page.ask({ t: 'watch', page: 'now', range: '15m', rows: 'tenant', node: null })
  const ask = async (n: number): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json', 'sluice-lane': 'typed' },
      body: JSON.stringify({ model: 'demo', stream: true, messages: [{ role: 'user', content: `${ANSWER} ${n}` }] }),
    })
    return /: server-timing .*?turn;dur=(\d+)/.exec(await answer.text())?.[1] ?? '0'
  }
  const turns = await Promise.all(Array.from({ length: MESSAGES }, (_, n) => ask(n)))
  expect(Math.max(...turns.map(Number))).toBeGreaterThan(2_000)
  // Of all of them
  page.clear()
  const { briefs, ttftP95Ms, good, period } = await page.next('now', ({ good }) => good.value !== null)
  expect(briefs).toMatchObject([{ kind: 'well' }])
  expect(ttftP95Ms).toMatchObject({ goal: 1_500, isWell: true })
  expect(good).toMatchObject({ value: 1, isWell: true })
  expect(period.parts?.turn).toBeGreaterThan(period.parts!.queue)
})
