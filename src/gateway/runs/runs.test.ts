/** Jobs that were let in, and what became of their run meanwhile: what no test over HTTP can time. */
import { expect, it } from 'vitest'
import type { Document, Documents } from '../../core/ports/documents.ts'
import type { Caller } from '../caller/caller.ts'
import { type Asked, Runs } from './runs.ts'

function inMemory(): Documents {
  const all = new Map<string, Document>()
  const key = (kind: string, id: string): string => `${kind} ${id}`
  return {
    get: async (kind, id) => all.get(key(kind, id)) ?? null,
    async put(document, version) {
      const at = key(document.kind, document.id)
      if ((all.get(at)?.version ?? 0) !== version) return null
      const stored = { ...document, version: version + 1 }
      all.set(at, stored)
      return stored
    },
    remove: async (kind, id) => all.delete(key(kind, id)),
    list: async () => [],
    due: async () => [],
    waiting: async () => 0,
  }
}

const caller = { key: { id: 'key_1', tenant: 'acme' }, session: null } as unknown as Caller
const ASKED: Asked = { budget: {}, metadata: {}, guarded: true }

/** Who notes two jobs of a run, one that was looked at before and one that came through a broker: those it ends. */
async function noted(asked: Asked, meanwhile: (runs: Runs) => Promise<unknown>): Promise<string[]> {
  const ended: string[] = []
  const jobs = { cancel: async (id: string) => void ended.push(id) }
  const [clock, ids] = [{ wallMs: () => 1_000 }, { name: () => 'r1' }]
  const deps = { documents: inMemory(), jobs, clock, ids, limits: () => [] }
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
  expect(await noted(ASKED, (runs) => runs.cancel('acme', 'r'))).toEqual(['job_1', 'job_2'])
})

it('of a run with a budget, one that nobody could give the budget is ended, and no other', async () => {
  expect(await noted({ ...ASKED, budget: { steps: 5 } }, async () => {})).toEqual(['job_2'])
  expect(await noted({ ...ASKED, budget: { depth: 5 } }, async () => {})).toEqual(['job_2'])
})

it('of another run none is', async () => {
  expect(await noted(ASKED, (runs) => runs.cancel('other', 'r'))).toEqual([])
})
