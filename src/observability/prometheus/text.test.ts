import fc from 'fast-check'
import { expect, it } from 'vitest'
import { bucketOf, counters, gauge, gauges, Histogram, histograms, type NumberSource } from '../../core/numbers.ts'
import { createRegistry } from '../registry.ts'
import { exposition, type Form, formOf } from './text.ts'

async function textOf(
  source: NumberSource,
  form: Form = 'text',
  turn = async (): Promise<void> => {},
): Promise<string> {
  let text = ''
  for await (const slice of exposition(await createRegistry([source]).read(), form, turn)) text += slice.toString()
  return text
}

const source = (): NumberSource => {
  const tokens = counters('tokens', 'Tokens by kind', 'model', 'kind')
  tokens.of('m', 'prompt').add(7)
  tokens.of('a "b"\\\n', 'completion').add(1.5)
  const cost = counters('cost_nano_dollars', 'Cost', 'model')
  cost.of('m').add(2_500_000)
  const ttft = histograms('ttft_ms', 'First text', 'model')
  for (const ms of [0.5, 19, 199, 1_000, 999_999]) ttft.of('m').record(ms)
  const cools = gauges('cools_seconds', 'Cools', 'max', 'deployment')
  cools.of('d').set(2)
  return { metrics: [gauge('rss_bytes', 'Memory', () => 5)], families: [tokens, cost, ttft, cools] }
}

it('writes names with base units, and escapes labels', async () => {
  const text = await textOf(source())
  expect(text).toContain('# HELP sluice_tokens_total Tokens by kind.\n# TYPE sluice_tokens_total counter\n')
  expect(text).toContain('sluice_tokens_total{model="m",kind="prompt"} 7\n')
  expect(text).toContain('sluice_tokens_total{model="a \\"b\\"\\\\\\n",kind="completion"} 1.5\n')
  expect(text).toContain('sluice_cost_dollars_total{model="m"} 0.0025\n')
  expect(text).toContain('# TYPE sluice_rss_bytes gauge\nsluice_rss_bytes 5\n')
  expect(text).toContain('sluice_cools_seconds{deployment="d"} 2\n')
  expect(text).toContain('sluice_ttft_seconds_sum{model="m"} 1001.2175\nsluice_ttft_seconds_count{model="m"} 5\n')
  expect(text).toContain('sluice_ttft_seconds_bucket{model="m",le="0.001"} 1\n')
  expect(text).toContain('sluice_ttft_seconds_bucket{model="m",le="0.25"} 3\n')
  expect(text).toContain('sluice_ttft_seconds_bucket{model="m",le="120.0"} 4\n')
  expect(text).toContain('sluice_ttft_seconds_bucket{model="m",le="+Inf"} 5\n')
})

it('writes OpenMetrics for who asks for it', async () => {
  expect(formOf('application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5')).toBe('openmetrics')
  expect(formOf('text/plain')).toBe('text')
  expect(formOf(undefined)).toBe('text')
  const text = await textOf(source(), 'openmetrics')
  expect(text).toContain('# TYPE sluice_tokens counter\nsluice_tokens_total{model="m",kind="prompt"} 7.0\n')
  expect(text).toContain('# TYPE sluice_ttft_seconds histogram\n# UNIT sluice_ttft_seconds seconds\n')
  expect(text).toContain('le="1.0"} ')
  expect(text.endsWith('# EOF\n')).toBe(true)
})

it('counts under a bound nothing that may be above it, and never less than a quarter too late', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.double({ min: 0.02, max: 1e6, noNaN: true }), { maxLength: 40 }), async (values) => {
      const ttft = new Histogram('ttft_ms', '')
      for (const value of values) ttft.record(value)
      const text = await textOf({ metrics: [ttft] })
      let before = 0
      for (const [, bound, count] of text.matchAll(/le="([\d.]+)"\} (\d+)/g)) {
        const at = Number(bound) * 1_000
        expect(Number(count)).toBeGreaterThanOrEqual(before)
        before = Number(count)
        expect(before).toBeLessThanOrEqual(values.filter((value) => value <= at).length)
        expect(before).toBeGreaterThanOrEqual(values.filter((value) => bucketOf(value * 1.26) <= bucketOf(at)).length)
      }
      expect(text).toContain(`_count ${values.length}\n`)
    }),
    { numRuns: 50 },
  )
})

it('leaves out what a family tells apart', async () => {
  const registry = createRegistry()
  const { createRecorder } = await import('../recorder.ts')
  registry.add(createRecorder({ modelOf: (asked) => asked, tenantLabel: false }))
  let text = ''
  for await (const slice of exposition(await registry.read(), 'text', async () => {})) text += slice.toString()
  expect(text).toContain('sluice_answers_cut_total 0\n')
  expect(text).not.toContain('sluice_requests_total')
  expect(text).not.toContain('sluice_limit_refusals_key')
})

it('a scrape of 1,000 series of histograms leaves the event loop its turns', async () => {
  const families = ['ttft_ms', 'tpot_ms', 'e2e_ms', 'queue_ms', 'overhead_ms'].map((name) => {
    const family = histograms(name, 'For tests', 'model', 'deployment')
    for (let i = 0; i < 200; i++) {
      const series = family.of(`model-${i}`, `deployment-${i}`)
      for (let j = 0; j < 100; j++) series.record(i * j)
    }
    return family
  })
  const registry = createRegistry([{ metrics: [], families }])
  const turn = (): Promise<void> => new Promise((next) => setImmediate(next))
  const heldMs: number[] = []
  for (let round = 0; round < 6; round++) {
    let [most, slices] = [0, 0]
    let at = process.cpuUsage().user
    const look = (): void => {
      const now = process.cpuUsage().user
      most = Math.max(most, (now - at) / 1_000)
      at = process.cpuUsage().user
    }
    const counted = async (): Promise<void> => {
      look()
      await turn()
      at = process.cpuUsage().user
    }
    for await (const slice of exposition(await registry.read(counted), 'text', counted)) {
      expect(slice.length).toBeLessThan(32 * 1024)
      slices++
    }
    look()
    expect(slices).toBeGreaterThan(50)
    heldMs.push(most)
  }
  // CPU time of a slice, once the code is warm; whatever else the machine does
  expect(Math.min(...heldMs)).toBeLessThan(5)
})
