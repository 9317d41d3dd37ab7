/** A process that dies between the end of a run and that of its jobs. */
import { expect, it } from 'vitest'
import type { Caller } from '../caller/caller.ts'
import { RunEnds } from './ends.ts'
import { Runs } from './runs.ts'
import { inMemory } from './testing/documents.ts'

const caller = { key: { id: 'key_1', tenant: 'acme' }, session: null } as unknown as Caller

async function endedAfter(by: string | null, isDone: boolean): Promise<string[]> {
  const ended: string[] = []
  const faults: unknown[] = []
  const live = [
    { id: 'job_1', keyId: 'key_1' },
    { id: 'job_2', keyId: 'key_2' },
  ]
  const deps = {
    documents: inMemory(),
    jobs: { list: async () => live, cancel: async (id: string) => void ended.push(id) },
    clock: { wallMs: () => 1_000, every: () => () => {} },
    ids: { name: () => 'r1' },
    options: { maxTenantRuns: 3, sessions: { maxRuns: 1 } },
    onFault: (error: unknown) => faults.push(error),
  } as unknown as ConstructorParameters<typeof Runs>[0] & ConstructorParameters<typeof RunEnds>[0]
  const before = new Runs(deps)
  await before.create(caller, 'r', { budget: {}, metadata: {}, guarded: true })
  await before.create(caller, 'goes-on', { budget: {}, metadata: {}, guarded: true })
  await before.cancel('acme', 'r', by)
  if (isDone) await before.ended('acme', 'r', by)
  const after = new Runs(deps)
  new RunEnds(deps, after).begin()
  await expect.poll(() => after.ending(10), { timeout: 1_000 }).toEqual([])
  expect((await after.get('acme', 'r'))!.canceledAtMs).toBe(1_000)
  expect(faults).toEqual([])
  return ended
}

it('the next one ends them: all, or those of the key that canceled it', async () => {
  expect(await endedAfter(null, false)).toEqual(['job_1', 'job_2'])
  expect(await endedAfter('key_1', false)).toEqual(['job_1'])
})

it('what was done is not done again', async () => expect(await endedAfter(null, true)).toEqual([]))
