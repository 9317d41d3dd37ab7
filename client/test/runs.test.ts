/** Runs of agents through the client: begun, read in pages, listed, canceled. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../../test/front/app.ts'
import { connect, type Sluice, SluiceError } from '../src/index.ts'

let app: TestApp
let sluice: Sluice
beforeAll(async () => {
  app = await startTestApp()
  sluice = connect({ url: `http://127.0.0.1:${app.port}`, key: app.key, transport: 'sse' })
})
afterAll(async () => {
  sluice?.close()
  await app?.stop()
})

const ask = (content: string): { model: string; messages: object[] } => ({
  model: 'demo',
  messages: [{ role: 'user', content }],
})
const codeOf = async (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => null,
    (error: unknown) => error instanceof SluiceError && [error.code, error.status, error.retryable],
  )

it('begins a run, reads it in pages, lists and cancels it', async () => {
  const begun = await sluice.runs.create({ id: 'tidy:up', budget: { tokens: 9_000, depth: 3 } })
  expect(begun).toMatchObject({ id: 'tidy:up', state: 'open', budget: { tokens: 9_000, depth: 3, usd: null } })
  const plan = sluice.submit({ request: ask('Plan. demo: tokens=5 delay=1'), run: begun.id })
  await plan.answer()
  const long = sluice.submit({ request: ask('Do. demo: tokens=4000 delay=200'), parent: plan.id! })
  await expect.poll(() => long.id, { timeout: 20_000 }).not.toBeNull()
  const first = await sluice.runs.get(begun.id, { limit: 1 })
  expect(first).toMatchObject({ state: 'running', totals: { jobs: 2, depth: 2 }, has_more: true, next: plan.id })
  expect(first.jobs.map(({ id, parent, state }) => [id, parent, state])).toEqual([[plan.id, null, 'done']])
  const rest = await sluice.runs.get(begun.id, { after: first.next! })
  expect(rest.jobs.map(({ id, parent }) => [id, parent])).toEqual([[long.id, plan.id]])
  const other = await sluice.runs.create()
  const newest = await sluice.runs.list({ limit: 1 })
  expect([newest.data.map(({ id }) => id), newest.has_more]).toEqual([[other.id], true])
  const older = await sluice.runs.list({ after: newest.next! })
  expect(older.data).toMatchObject([{ id: begun.id, state: 'running', totals: { jobs: 2 } }])
  expect(await sluice.runs.cancel(begun.id)).toMatchObject({ state: 'canceled', canceled: 1, left: 0 })
  expect(await codeOf(long.answer())).toEqual(['job_canceled', undefined, false])
  expect(await sluice.runs.cancel(begun.id)).toMatchObject({ canceled: 0 })
})

it('throws what it is refused for', async () => {
  expect(await codeOf(sluice.runs.get('none/../such'))).toEqual(['run_not_found', 404, false])
  expect(await codeOf(sluice.runs.cancel('none'))).toEqual(['run_not_found', 404, false])
  await sluice.runs.create({ id: 'once' })
  expect(await codeOf(sluice.runs.create({ id: 'once', budget: { steps: 1 } }))).toEqual(['run_exists', 409, false])
  expect(await codeOf(sluice.runs.list({ limit: 101 }))).toEqual(['invalid_request', 400, false])
})
