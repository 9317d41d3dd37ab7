import fc from 'fast-check'
import { expect, it } from 'vitest'
import { counter, counters, gauge, histogram, type NumberSource } from '../core/numbers.ts'
import { createRegistry, type Reading, statsOf, sum } from './registry.ts'

/** A process that counted these. */
function processOf(values: readonly number[]): NumberSource {
  const jobs = counter('jobs', 'Jobs')
  const took = histogram('took_ms', 'How long they took')
  for (const value of values) {
    jobs.add()
    took.record(value)
  }
  return {
    metrics: [
      jobs,
      took,
      gauge('open', 'Open connections', () => values.length),
      gauge('longest_ms', 'The longest', () => Math.max(0, ...values), 'max'),
    ],
  }
}
const read = (values: readonly number[]): Promise<readonly Reading[]> => createRegistry([processOf(values)]).read()

/** Without what the order of adding floats changes. */
const rounded = (readings: readonly Reading[]): object[] =>
  readings.map((one) => (one.kind === 'histogram' ? { ...one, sum: Math.round(one.sum) } : one))

it('two processes amount to one that saw it all', async () => {
  const values = fc.array(fc.integer({ min: 0, max: 100_000 }))
  await fc.assert(
    fc.asyncProperty(values, values, async (a, b) => {
      const together = sum([await read(a), await read(b)])
      expect(rounded(together)).toEqual(rounded(await read([...a, ...b])))
    }),
  )
})

it('survives a process of another version', () => {
  const one: Reading = { name: 'x', help: '', kind: 'counter', value: 1 }
  const other: Reading = { name: 'x', help: '', kind: 'gauge', over: 'sum', value: 5 }
  const own: Reading = { name: 'y', help: '', kind: 'counter', value: 2 }
  expect(sum([[one], [other, own], [one]])).toEqual([{ ...one, value: 2 }, own])
})

it('shows people what each number is', async () => {
  const stats = statsOf(await read([1, 2, 3, 400]))
  expect(stats).toMatchObject({
    jobs: 4,
    open: 4,
    longest_ms: 400,
    took_ms: { count: 4, sum: 406, max: 400, p50: 2.5, p99: 400 },
    kinds: { jobs: 'counter', open: 'gauge', longest_ms: 'gauge', took_ms: 'histogram' },
  })
  expect((stats['took_ms'] as { buckets: unknown }).buckets).toEqual([
    [1.25, 1],
    [2.5, 1],
    [3.5, 1],
    [448, 1],
  ])
})

it('waits for what has to be fetched', async () => {
  let fetched = 0
  const source = {
    metrics: [gauge('queued', 'Jobs in line', () => fetched)],
    async refresh() {
      await Promise.resolve()
      fetched = 7
    },
  }
  expect(await createRegistry([source]).read()).toMatchObject([{ name: 'queued', value: 7 }])
})

it('leaves out what could not be fetched, and keeps the rest', async () => {
  const away = {
    metrics: [gauge('queued', 'Jobs in line', () => 7)],
    refresh: () => Promise.reject(new Error('no connection')),
  }
  const thrown = {
    metrics: [gauge('delayed', 'Jobs that wait', () => 7)],
    refresh() {
      throw new Error('no connection')
    },
  }
  expect(await createRegistry([away, { metrics: [counter('jobs', 'Jobs')] }, thrown]).read()).toMatchObject([
    { name: 'jobs', value: 0 },
  ])
})

it('two numbers never share a name, and a name has one spelling', () => {
  const twice = { metrics: [counter('jobs', 'Jobs')] }
  expect(() => createRegistry([twice, twice])).toThrow('two numbers are called "jobs"')
  for (const name of ['Jobs', 'jobs-done', '_jobs', 'jobs__done', ''])
    expect(() => createRegistry([{ metrics: [counter(name, 'x')] }])).toThrow('is no name')
})

it('refuses a number that comes after the start: nothing has checked its name', async () => {
  let metrics = [counter('jobs', 'Jobs')]
  const registry = createRegistry([
    {
      get metrics() {
        return metrics
      },
    },
  ])
  metrics = [counter('jobs', 'Jobs, again')]
  expect(await registry.read()).toMatchObject([{ name: 'jobs', help: 'Jobs, again' }])
  metrics = [counter('jobs', 'Jobs'), counter('Tenant acme', 'Jobs of a tenant')]
  await expect(registry.read()).rejects.toThrow('"Tenant acme" is no number of the start')
})

it('labels keep numbers of a name apart, over processes too', async () => {
  const process = (...models: string[]): NumberSource => {
    const jobs = counters('jobs_by', 'Jobs', 'model')
    for (const model of models) jobs.of(model).add()
    return { metrics: [], families: [jobs] }
  }
  const read = (source: NumberSource) => createRegistry([source]).read()
  const both = sum([await read(process('a', 'b"', 'a')), await read(process('b"', 'c'))])
  expect(statsOf(both)).toMatchObject({ 'jobs_by{model="a"}': 2, 'jobs_by{model="b\\""}': 2, 'jobs_by{model="c"}': 1 })
})
