/**
 * Does whoever waits notice a batch? Interactive streams on the demo model, in rounds with and without a batch of
 * 10,000 lines that runs beside them; p99 of the time to the first event of each round, and the medians of the rounds.
 *
 *     node test/bench/batches/main.ts [rounds] [seconds of a round] [batches.window]
 */
import { request } from 'node:http'
import { startServer } from '../../e2e/server.ts'

const [rounds = 5, seconds = 6, window = 64] = process.argv.slice(2).map(Number)
const LINES = 10_000
const EVERY_MS = 20

const server = await startServer(
  `models: [{ name: demo, provider: demo }]\nbatches: { window: ${window} }\nfiles: { max_tenant_files: 1000 }\n`,
)
const headers = { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' }
const ask = async (path: string, body?: object | FormData): Promise<Record<string, string>> => {
  const isForm = body instanceof FormData
  const response = await fetch(`${server.url}/v1${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: isForm ? { authorization: headers.authorization } : headers,
    ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
  })
  return (await response.json()) as Record<string, string>
}

const STREAM = JSON.stringify({
  model: 'demo',
  stream: true,
  messages: [{ role: 'user', content: 'demo: tokens=20 delay=10 ttft=50' }],
})

/** Ms to its first event. */
const first = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const begun = performance.now()
    const sending = request(`${server.url}/v1/chat/completions`, { method: 'POST', headers }, (response) => {
      response.once('data', () => resolve(performance.now() - begun))
      response.resume()
    })
    sending.on('error', reject)
    sending.end(STREAM)
  })

const quantile = (sorted: readonly number[], q: number): number => sorted[Math.floor(q * (sorted.length - 1))]
const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b)

async function round(): Promise<readonly [p50: number, p99: number]> {
  const asked: Promise<number>[] = []
  for (const until = performance.now() + seconds * 1_000; performance.now() < until; ) {
    asked.push(first())
    await new Promise((next) => setTimeout(next, EVERY_MS))
  }
  const times = sorted(await Promise.all(asked))
  return [quantile(times, 0.5), quantile(times, 0.99)]
}

const lines = Array.from({ length: LINES }, (_, n) => ({
  ...{ custom_id: `r-${n}`, method: 'POST', url: '/v1/chat/completions' },
  body: { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=20 delay=10 ttft=50' }] },
}))
const form = new FormData()
form.set('purpose', 'batch')
form.set('file', new Blob([lines.map((line) => JSON.stringify(line)).join('\n')]), 'in.jsonl')
const { id: input } = await ask('/files', form)

await round() // warm
const found: Record<'without' | 'with', Array<readonly [number, number]>> = { without: [], with: [] }
for (let i = 0; i < rounds; i++) {
  found.without.push(await round())
  const batch = { input_file_id: input, endpoint: '/v1/chat/completions', completion_window: '24h' }
  const { id } = await ask('/batches', batch)
  await new Promise((next) => setTimeout(next, 1_500))
  const during = await round()
  const now = (await ask(`/batches/${id}`)) as unknown as { status: string; request_counts: { completed: number } }
  found.with.push(during)
  console.log(`round ${i + 1}: ${now.status}, ${now.request_counts.completed} lines done`, found.without[i], during)
  await ask(`/batches/${id}/cancel`, {})
  for (let status = ''; status !== 'cancelled' && status !== 'completed'; ) ({ status } = await ask(`/batches/${id}`))
}
const median = (of: 'without' | 'with', i: 0 | 1): number => quantile(sorted(found[of].map((one) => one[i])), 0.5)
for (const [i, name] of [
  [0, 'p50'],
  [1, 'p99'],
] as const) {
  const [without, during] = [median('without', i), median('with', i)]
  console.log(
    `${name}: ${without.toFixed(1)} ms without, ${during.toFixed(1)} ms with a batch of window ${window} ` +
      `(${((during / without - 1) * 100).toFixed(1)} %)`,
  )
}
await server.stop()
