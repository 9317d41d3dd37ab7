import { expect, it } from 'vitest'
import type { Fact } from '../../core/facts.ts'
import { Traces } from './traces.ts'

const submitted = (job: string, atMs: number): Fact => ({
  ...{ type: 'job-submitted', kind: 'chat', joined: false, job, atMs, tenant: 't', keyId: 'k', model: 'm' },
  ...{ requestId: null, trace: null },
})

it('keeps marks only while somebody looks, and for an hour after', () => {
  const traces = new Traces(() => ({ ttftMs: 1_500 }))
  const known = (): string[] => [...traces.newest()].map(({ job }) => job)
  traces.observe(submitted('before', 0))
  expect(known()).toEqual([])
  traces.looked(1_000)
  traces.observe(submitted('a', 2_000))
  traces.looked(3_000)
  traces.observe(submitted('b', 3_603_000))
  expect(known()).toEqual(['b', 'a'])
  const { version } = traces
  traces.observe(submitted('late', 3_603_001))
  expect(known()).toEqual([])
  expect(traces.version).toBeGreaterThan(version)
  traces.looked(9_000_000)
  traces.observe(submitted('c', 9_000_001))
  expect(known()).toEqual(['c'])
})
