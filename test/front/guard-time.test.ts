/** A guard may go by the time of day: the door tells it, on every way in. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { defineGuard } from '../../src/admission/guards/guard.ts'
import { GUARDS } from '../../src/admission/guards/index.ts'
import type { Asked } from '../../src/core/ports/admission.ts'
import type { TestApp } from './app.ts'

const seen: Asked[] = []
const watch = defineGuard('watch', 'Lets everything pass.', {}, () => (asked) => {
  seen.push(asked)
  return null
})

let app: TestApp
beforeAll(async () => {
  // Before anything reads the list: the settings are made of it
  ;(GUARDS as unknown as unknown[]).push(watch)
  const { startTestApp } = await import('./app.ts')
  app = await startTestApp({}, { tenants: [{ name: 'default', guards: [{ guard: 'watch' }] }] })
})
afterAll(() => app?.stop())

const chat = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=1 ttft=1' }] }
it.each([
  ['a plain POST', '/v1/chat/completions', chat],
  ['a job', '/v1/jobs', { request: chat }],
  ['a list of jobs', '/v1/jobs', { jobs: [{ request: chat }, { request: chat }] }],
])('%s', async (_name, path, body) => {
  seen.length = 0
  const beganMs = Date.now()
  const answer = await fetch(`http://127.0.0.1:${app.port}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  expect(answer.ok).toBe(true)
  await answer.text()
  expect(seen).toHaveLength('jobs' in body ? 2 : 1)
  for (const { atMs } of seen) {
    expect(atMs).toBeGreaterThanOrEqual(beganMs)
    expect(atMs).toBeLessThanOrEqual(Date.now())
  }
})
