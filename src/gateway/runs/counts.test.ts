/** How many runs there may be: what takes days, or two processes. */
import { expect, it } from 'vitest'
import type { userOf } from '../caller/caller.ts'
import { type Asked, Runs } from './runs.ts'
import { inMemory } from './testing/documents.ts'

const DAY_MS = 86_400_000
const ASKED: Asked = { budget: {}, metadata: {}, guarded: true }

type Caller = Parameters<typeof userOf>[0]
const key = { id: 'key_1', tenant: 'acme' }
const backend = { key, session: null } as unknown as Caller
const page = (user: string | null, id = 's1'): Caller => ({ key, session: { id, user } }) as unknown as Caller

function started({ tenant = 3, user = 1 } = {}) {
  let now = 100 * DAY_MS
  let made = 0
  const documents = inMemory()
  const deps = {
    ...{
      documents,
      clock: { wallMs: () => now },
      ids: { name: () => `r${made++}` },
      jobs: {},
      limits: () => ({ tenants: {}, eachTenant: null }),
    },
    options: { maxTenantRuns: tenant, sessions: { maxRuns: user } },
  }
  const process = (): Runs => new Runs(deps as unknown as ConstructorParameters<typeof Runs>[0])
  const runs = process()
  return {
    ...{ runs, process },
    wait: (days: number) => (now += days * DAY_MS),
    /** Codes of refusals; ok: it is there. */
    begin: async (caller: Caller, name: string, by = runs): Promise<string> =>
      by.create(caller, name, ASKED).then(
        () => 'ok',
        ({ code }) => code,
      ),
  }
}

it('a tenant has so many runs, until one is forgotten', async () => {
  const { begin, wait } = started()
  expect(await Promise.all(['a', 'b', 'c'].map((name) => begin(backend, name)))).toEqual(['ok', 'ok', 'ok'])
  expect(await begin(backend, 'd')).toBe('too_many_runs')
  expect(await begin(backend, 'a')).toBe('ok')
  wait(29)
  expect(await begin(backend, 'd')).toBe('too_many_runs')
  wait(2)
  expect(await begin(backend, 'd')).toBe('ok')
})

it('one that goes on is counted for as long as it is kept, and once', async () => {
  const { runs, begin, wait } = started({ tenant: 2 })
  await begin(backend, 'a')
  wait(20)
  const failed: unknown[] = []
  runs.entered('acme', 'a', [{ id: 'job_1' }], (error) => failed.push(error))
  // Waits for what is noted
  await runs.admit(backend, { run: 'a', options: {} } as Parameters<Runs['admit']>[1], {}, new Map())
  expect(failed).toEqual([])
  expect(await begin(backend, 'b')).toBe('ok')
  wait(15)
  expect(await begin(backend, 'c')).toBe('too_many_runs')
})

it('a user of pages has fewer, over all sessions; one refused takes none of the tenant’s', async () => {
  const { begin } = started()
  expect(await begin(page('ann'), 'ann/a')).toBe('ok')
  for (const name of ['b', 'c', 'd', 'e']) expect(await begin(page('ann', 's2'), `ann/${name}`)).toBe('too_many_runs')
  expect(await begin(page('bob'), 'bob/a')).toBe('ok')
  expect(await begin(page(null), 's1/a')).toBe('ok')
  expect(await begin(page('cy'), 'cy/a')).toBe('too_many_runs')
})

it('many at once, by two processes, are no more than that; of one name they are one', async () => {
  const { runs, process, begin } = started({ tenant: 5 })
  const other = process()
  const all = await Promise.all(Array.from({ length: 20 }, (_, n) => begin(backend, `r${n}`, n % 2 ? runs : other)))
  expect(all.filter((code) => code === 'ok')).toHaveLength(5)
  const same = started({ tenant: 5 })
  const second = same.process()
  const codes = await Promise.all([0, 1, 2, 3].map((n) => same.begin(backend, 'one', n % 2 ? same.runs : second)))
  expect(codes).toEqual(['ok', 'ok', 'ok', 'ok'])
  const more = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => same.begin(backend, name)))
  expect(more.filter((code) => code === 'ok')).toHaveLength(4)
})
