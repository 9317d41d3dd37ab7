/** Jobs that name others before these have ids, and the end of a whole tree. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../../test/front/app.ts'
import { connect, type Sluice, SluiceError } from '../src/index.ts'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app?.stop())

const ask = (content: string) => ({ model: 'demo', messages: [{ role: 'user', content }] })
const LONG = ask('demo: tokens=4000 delay=200')

describe.each(['websocket', 'sse'] as const)('%s', (transport) => {
  let sluice: Sluice
  beforeAll(() => {
    sluice = connect({ url: `http://127.0.0.1:${app.port}`, key: app.key, transport })
  })
  afterAll(() => sluice?.close())
  const view = (id: string | null): Promise<unknown> => sluice.http('GET', `/v1/jobs/${id}`)

  it('names jobs that were not accepted yet', async () => {
    const run = `fan-${transport}`
    const plan = sluice.submit({ request: ask('demo: tokens=3 delay=1'), run })
    const parts = [1, 2].map(() => sluice.submit({ request: ask('demo: tokens=3 delay=1'), parent: plan }))
    const join = sluice.submit({ request: ask('demo: tokens=3 delay=1'), parent: plan, after: [...parts, plan] })
    expect([plan.id, join.id]).toEqual([null, null])
    await join.answer()
    expect(await view(join.id)).toMatchObject({ run, parent: plan.id, after: [...parts.map(({ id }) => id), plan.id] })
    expect(join.request).toMatchObject({ parent: plan.id })
  })
  it('is refused as the job is that it names; null is no job', async () => {
    const refused = sluice.submit({ request: { model: 'nobody', messages: [] } })
    const code = (job: { accepted: Promise<unknown> }) =>
      job.accepted.then(
        () => null,
        (error: unknown) => error instanceof SluiceError && error.code,
      )
    expect(await code(sluice.submit({ request: LONG, parent: refused }))).toBe(await code(refused))
    expect(await code(sluice.submit({ request: LONG, parent: refused.id as never }))).toBe('invalid_request')
    expect(await code(sluice.submit({ request: LONG, after: [null as never] }))).toBe('invalid_request')
  })
  it('ends a tree, also of a root that has ended', async () => {
    const root = sluice.submit({ request: ask('demo: tokens=3 delay=1'), run: `tree-${transport}` })
    const child = sluice.submit({ request: LONG, parent: root })
    await Promise.all([root.answer(), child.accepted])
    await root.cancel({ tree: true })
    await expect(child.answer()).rejects.toMatchObject({ code: 'job_canceled' })
  })
})
