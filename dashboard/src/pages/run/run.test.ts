import { describe, expect, it } from 'vitest'
import { nameOf, type RunJob, runAxis, runPath, spansOf, tellRun, treeOf } from './tree.ts'

const job = (id: string, more: Partial<RunJob> = {}): RunJob => ({
  ...{ id, state: 'done', model: 'm', metadata: {}, parent: null, after: [], attempts: 1 },
  ...{ accepted_at_ms: 1_000, ended_at_ms: 1_900, queued_ms: 100, ttft_ms: 300, total_ms: 900 },
  ...{ prompt_tokens: 1, completion_tokens: 1, usd_at_most: null, error: null },
  ...more,
})

it('a job is called by its metadata', () => {
  expect(nameOf({ metadata: { x: '1', step: 'plan' } })).toBe('plan')
  expect(nameOf({ metadata: { step: 'write', name: 'The writer' } })).toBe('The writer')
  expect(nameOf({ metadata: { x: 'first', y: 'second' } })).toBe('first')
  expect(nameOf({ metadata: {} })).toBe(null)
})

describe('the tree', () => {
  const rows = (...jobs: readonly RunJob[]): string[] => treeOf(jobs).map(({ job: { id }, level }) => `${level}${id}`)

  it('has each job under its parent, in the order of their age', () => {
    expect(
      rows(job('a'), job('b'), job('c', { parent: 'a' }), job('d', { parent: 'c' }), job('e', { parent: 'a' })),
    ).toEqual(['0a', '1c', '2d', '1e', '0b'])
  })

  it('has every job once, whatever its parent is said to be', () => {
    expect(rows(job('b', { parent: 'gone' }), job('c', { parent: 'c' }), job('d', { parent: 'e' }), job('e'))).toEqual([
      ...['0b', '0c', '0d', '0e'],
    ])
  })

  it('holds a chain of any depth', () => {
    const ids = Array.from({ length: 1_000 }, (_, n) => `j${String(n).padStart(5, '0')}`)
    const chain = ids.map((id, n) => job(id, { parent: n === 0 ? null : ids[n - 1] }))
    expect(treeOf(chain).at(-1)).toMatchObject({ level: 999, job: { id: 'j00999' } })
  })
})

describe('the axis', () => {
  const parts = (one: RunJob): unknown[] => spansOf(one, 500).map(({ part, fromMs, toMs }) => [part, fromMs, toMs])

  it('tells where the time of a job went', () => {
    expect(parts(job('a'))).toEqual([
      ['queue', 500, 600],
      ['upstream', 600, 800],
      ['tokens', 800, 1_400],
    ])
    // A document has no first text, and one that was retried waited after it
    expect(parts(job('a', { ttft_ms: null }))).toEqual([
      ['queue', 500, 600],
      ['upstream', 600, 1_400],
    ])
    expect(parts(job('a', { queued_ms: 600 }))).toEqual([
      ['queue', 500, 800],
      ['tokens', 800, 1_400],
    ])
  })

  it('leaves open what goes on, and tells no part of it that nobody knows', () => {
    const none = { ended_at_ms: null, queued_ms: null, ttft_ms: null, total_ms: null }
    expect(parts(job('a', { state: 'waiting', ...none }))).toEqual([['queue', 500, null]])
    expect(parts(job('a', { state: 'leased', ...none }))).toEqual([['unknown', 500, null]])
    expect(parts(job('a', { state: 'canceled', ...none, ended_at_ms: 1_200 }))).toEqual([['queue', 500, 700]])
  })

  it('goes from the first job to the last end, or to now', () => {
    const jobs = [job('a'), job('b', { accepted_at_ms: 2_000, ended_at_ms: 3_000, total_ms: 900 })]
    expect(runAxis(jobs, 9_000)).toMatchObject({ startMs: 1_000, endMs: 2_000 })
    expect(runAxis([...jobs, job('c', { state: 'leased' })], 9_000)).toMatchObject({ endMs: 8_000 })
  })
})

it('tells in a sentence how it stands', () => {
  const told = (state: 'running' | 'idle' | 'canceled', states: object, jobs: number): string =>
    tellRun({ state, totals: { jobs, states } as Parameters<typeof tellRun>[0]['totals'] })
  expect(told('running', { done: 2, leased: 1 }, 3)).toBe('Runs: 2 of 3 jobs ended.')
  expect(told('idle', { done: 2, failed: 1 }, 3)).toBe('Nothing left to do: 3 jobs, 2 done, 1 failed.')
  expect(told('canceled', { canceled: 1 }, 1)).toBe('Canceled: 1 job, 1 canceled.')
  expect(told('idle', {}, 0)).toBe('It has no job yet.')
  expect(tellRun({ state: 'idle', totals: { jobs: 0, states: {}, steps: 2 } as never })).toBe(
    'Its jobs are not kept any longer.',
  )
})

it('has an address for every name', () => {
  expect(runPath('acme', 'user/one two')).toBe('/runs/acme/user%2Fone%20two')
})
