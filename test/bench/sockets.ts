/**
 * WebSockets: the same 1,000 streams beside plain relays on `ws` and beside SSE, and what an idle
 * connection costs.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median, spread } from './report.ts'
import { hasNginx, nginx, type Running, relay, sluice, type Target } from './targets.ts'
import { type Measured, type Priority, rssMb, runLoad, type Tools, type Window } from './tools.ts'

const IDLE = 10_000
const SUBMIT = {
  t: 'submit',
  id: '1',
  request: {
    model: '%M',
    messages: [
      { role: 'system', content: 'You are a helpful assistant.' },
      { role: 'user', content: 'Explain in a few sentences how a gateway in front of language models saves money.' },
    ],
    temperature: 0.7,
    max_tokens: 512,
    stream: true,
  },
}

interface Candidate {
  readonly name: string
  readonly target: Target
  readonly mode: 'sse' | 'ws'
  /** Path of the WebSocket. */
  readonly path: string
}

export interface SocketRow {
  readonly usPerToken: number
  readonly carried: number
  readonly ttftP50: number
  readonly ttftP99: number
  readonly lagP50: number
  readonly lagP99: number
  readonly unpacedUsPerToken: number
  /** KB of RSS for each of 10,000 idle connections. */
  readonly idleKb: number | null
  readonly errors: number
}

export async function measureSockets(
  tools: Tools,
  priority: Priority,
  upstream: { readonly port: number; readonly pid: number },
  rounds: number,
  seconds: number,
  note: (text: string) => void,
): Promise<Map<string, SocketRow[]>> {
  const candidates: Candidate[] = [
    ...(hasNginx() ? [{ name: 'nginx, bare proxy, SSE', target: nginx, mode: 'sse' as const, path: '' }] : []),
    { name: '`ws` relay, a frame a token', target: relay('token'), mode: 'ws', path: '/' },
    { name: '`ws` relay, a frame a read', target: relay('read'), mode: 'ws', path: '/' },
    { name: '**Sluice** over SSE', target: sluice, mode: 'sse', path: '' },
    { name: '**Sluice** over WebSocket', target: sluice, mode: 'ws', path: '/v1/ws' },
  ]
  const rows = new Map<string, SocketRow[]>(candidates.map(({ name }) => [name, []]))
  const dir = mkdtempSync(join(tmpdir(), 'sluice-bench-submit-'))
  const body = join(dir, 'submit.json')
  writeFileSync(body, JSON.stringify(SUBMIT))
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const candidate of candidates.toSorted(() => Math.random() - 0.5)) {
        const running = await candidate.target.start(upstream.port, priority)
        try {
          const row = await measure(tools, priority, candidate, running, body, seconds)
          rows.get(candidate.name)!.push(row)
          note(
            `round ${round} ${candidate.name}: ${row.usPerToken.toFixed(1)} µs a token, ` +
              `${Math.round(row.carried)} tok/s, TTFT p99 +${row.ttftP99.toFixed(0)} ms, ${row.errors} errors`,
          )
        } finally {
          await running.stop()
        }
      }
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  return rows
}

async function measure(
  tools: Tools,
  priority: Priority,
  { mode, path }: Candidate,
  running: Running,
  body: string,
  seconds: number,
): Promise<SocketRow> {
  const headers = [...running.headers, ...(mode === 'ws' ? ['sec-websocket-protocol: sluice.v1'] : [])].flatMap((h) => [
    '-H',
    h,
  ])
  const address = mode === 'ws' ? `${running.url}${path}` : `${running.url}/v1/chat/completions`
  const load = (as: string, model: string, connections: number, window: Window): Promise<Measured> =>
    runLoad(tools, priority, running.pid, window, [
      ...[as, '-u', address, '-m', model, '-c', String(connections), ...headers],
      ...(as === 'ws' ? ['-B', body, '-D', '"t":"end"'] : []),
    ])
  const idleKb = mode === 'ws' ? await idle(load, running) : null
  await load(mode, 'mock-n50-d5-f5', 100, { ramp: 0.1, warm: 1, measured: 2 })
  const stream = await load(mode, 'mock-n100-d20-f50', 1000, { ramp: 2, warm: 3, measured: seconds })
  const unpaced = await load(mode, 'mock-n200', 50, { ramp: 0.1, warm: 0.5, measured: 2 })
  const ms = (us: number | undefined): number => (us ?? Number.NaN) / 1_000
  return {
    usPerToken: stream.cpuUsPerS / stream.tok_s,
    carried: stream.tok_s,
    ttftP50: ms(stream.ttft?.p50) - 50,
    ttftP99: ms(stream.ttft?.p99) - 50,
    lagP50: ms(stream.lat?.p50),
    lagP99: ms(stream.lat?.p99),
    unpacedUsPerToken: unpaced.cpuUsPerS / unpaced.tok_s,
    idleKb,
    errors: Object.values(stream.errors).reduce((a, b) => a + b, 0),
  }
}

/** In a fresh process, before anything else: a heap that has grown once hides what comes after. */
async function idle(
  load: (as: string, model: string, connections: number, window: Window) => Promise<Measured>,
  running: Running,
): Promise<number> {
  const before = rssMb(running.pid)
  const { rss_kb = Number.NaN, open = 0 } = await load('idle', 'mock-n10', IDLE, { ramp: 4, warm: 1, measured: 3 })
  return open === IDLE ? (rss_kb - before * 1_024) / IDLE : Number.NaN
}

export function socketTable(rows: ReadonlyMap<string, readonly SocketRow[]>): string {
  const lines = [
    '| | 1,000 streams × 50 tok/s: CPU µs/token | carried tok/s (of 48.8k) | added TTFT p50 / p99 ms | token ' +
      'lag p50 / p99 ms | unpaced µs/token | idle connection, KB |',
    '| --- | --- | --- | --- | --- | --- | --- |',
  ]
  for (const [name, all] of rows) {
    if (all.length === 0) continue
    const m = (of: (row: SocketRow) => number): number => median(all.map(of))
    const range = all.length > 1 ? spread(all.map((r) => r.usPerToken)) : ''
    const idle = all[0].idleKb === null ? '' : m((r) => r.idleKb ?? Number.NaN).toFixed(1)
    lines.push(
      `| ${name} | ${m((r) => r.usPerToken).toFixed(1)}${range} | ${(m((r) => r.carried) / 1000).toFixed(1)}k ` +
        `| ${m((r) => r.ttftP50).toFixed(1)} / ${m((r) => r.ttftP99).toFixed(0)} | ` +
        `${m((r) => r.lagP50).toFixed(1)} / ${m((r) => r.lagP99).toFixed(0)} | ` +
        `${m((r) => r.unpacedUsPerToken).toFixed(1)} | ${idle} |`,
    )
  }
  lines.push(
    '',
    `Errors: ${[...rows.values()].flat().reduce((n, r) => n + r.errors, 0)}. Idle: RSS for each of ` +
      `${IDLE.toLocaleString('en')} connections, opened in a fresh process.`,
  )
  return lines.join('\n')
}
