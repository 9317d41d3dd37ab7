/** Jobs that were let in, and what became of their run meanwhile: what no test over HTTP can time. */
import { expect, it } from 'vitest'
import type { Caller } from '../caller/caller.ts'
import { type Asked, Runs } from './runs.ts'
import { inMemory } from './testing/documents.ts'

const caller = { key: { id: 'key_1', tenant: 'acme' }, session: null } as unknown as Caller
const options = { maxTenantRuns: 3, sessions: { maxRuns: 1 } }
const ASKED: Asked = { budget: {}, metadata: {}, guarded: true }

/** Who notes two jobs of a run, one that was looked at before and one that came through a broker: those it ends. */
async function noted(asked: Asked, meanwhile: (runs: Runs) => Promise<unknown>): Promise<string[]> {
  const ended: string[] = []
  const jobs = { cancel: async (id: string) => void ended.push(id) }
  const [clock, ids] = [{ wallMs: () => 1_000 }, { name: () => 'r1' }]
  const deps = { documents: inMemory(), jobs, clock, ids, limits: () => [], options }
  const runs = new Runs(deps as unknown as ConstructorParameters<typeof Runs>[0])
  await runs.create(caller, 'r', asked)
  await meanwhile(runs)
  const failed: unknown[] = []
  const seen = { id: 'job_1' }
  runs.entered('acme', 'r', [seen, { id: 'job_2', isUnseen: true }], (error) => failed.push(error))
  await expect
    .poll(() => ended.length + failed.length, { timeout: 200 })
    .toBeGreaterThan(0)
    .catch(() => {})
  expect(failed).toEqual([])
  return ended
}

it('a job that was taken while its run was canceled is ended, however it came', async () => {
  expect(await noted(ASKED, (runs) => runs.cancel('acme', 'r', null))).toEqual(['job_1', 'job_2'])
})

it('of a run with a budget, one that nobody could give the budget is ended, and no other', async () => {
  expect(await noted({ ...ASKED, budget: { steps: 5 } }, async () => {})).toEqual(['job_2'])
  expect(await noted({ ...ASKED, budget: { depth: 5 } }, async () => {})).toEqual(['job_2'])
})

it('of another run none is', async () => {
  expect(await noted(ASKED, (runs) => runs.cancel('other', 'r', null))).toEqual([])
})
