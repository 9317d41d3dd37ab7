/**
 * npm run bench [-- --rounds 3 --seconds 5 --only nginx,node,portkey,sluice,websocket --json]
 * Interleaved rounds in random order, each target fresh and warmed; medians; CPU of the server's process, all its
 * threads, over exactly the measured window. Where the C tools are not at hand a small load of our own is used, and
 * said so.
 */
import { spawn } from 'node:child_process'
import { parseArgs } from 'node:util'
import { jobsPerSecond, resumeFirstByte, stats, submitLatency } from './alone.ts'
import { markdown, type Row } from './report.ts'
import { smallLoad } from './small.ts'
import { measureSockets, type SocketRow, socketTable } from './sockets.ts'
import { freePort, hasNginx, nginx, passthrough, pause, portkey, type Running, sluice, type Target } from './targets.ts'
import { buildTools, type Measured, pinned, rssMb, runLoad, type Tools } from './tools.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
const note = (text: string): void => void process.stderr.write(`${text}\n`)

const tools = buildTools()
if (tools === null) {
  note('The C tools are not here: a small load of our own, whose figures are for orientation only.')
  await smallLoad()
  process.exit(0)
}

const candidates: Array<[string, Target | null]> = [
  ['nginx', hasNginx() ? nginx : null],
  ['node', passthrough],
  ['portkey', values.only?.includes('portkey') === false ? null : portkey()],
  ['sluice', sluice],
]
const targets = candidates.flatMap(([name, target]) => {
  if (values.only !== undefined && !values.only.split(',').includes(name)) return []
  if (target === null) note(`${name} is not to be had here: left out.`)
  return target === null ? [] : [target]
})

const upstreamPort = await freePort()
const [command, args] = pinned(1, tools.upstream, ['-p', String(upstreamPort)])
const upstream = spawn(command, args, { stdio: 'ignore' })
await pause(300)

const rows = new Map<string, Row[]>(targets.map((t) => [t.name, []]))
const own: Array<Record<string, number>> = []
let sockets: ReadonlyMap<string, readonly SocketRow[]> | null = null
try {
  for (let round = 1; round <= rounds; round++) {
    for (const target of targets.toSorted(() => Math.random() - 0.5)) {
      const running = await target.start(upstreamPort)
      try {
        const row = await measure(tools, running)
        rows.get(target.name)!.push(row)
        note(
          `round ${round} ${target.name}: ${row.streamUsPerToken.toFixed(1)} µs a token, ` +
            `${Math.round(row.carried)} tok/s, TTFT p99 +${row.ttftP99.toFixed(0)} ms, JSON ` +
            `${row.jsonUs.toFixed(0)} µs`,
        )
        if (running.adminUrl !== undefined) own.push(await measureAlone(running))
      } finally {
        await running.stop()
      }
    }
  }
  if (values.only === undefined || values.only.includes('websocket'))
    sockets = await measureSockets(tools, { port: upstreamPort, pid: upstream.pid! }, rounds, seconds, note)
} finally {
  upstream.kill('SIGKILL')
}

if (values.json) {
  const all = { rows: Object.fromEntries(rows), sluice: own, websocket: Object.fromEntries(sockets ?? []) }
  process.stdout.write(`${JSON.stringify(all)}\n`)
} else {
  if (targets.length > 0) process.stdout.write(`${markdown(rows, own)}\n`)
  if (sockets !== null) process.stdout.write(`\n${socketTable(sockets)}\n`)
}

async function measure(tools: Tools, running: Running): Promise<Row> {
  const chat = `${running.url}/v1/chat/completions`
  const load = (mode: string, model: string, more: readonly string[]): Promise<Measured> =>
    runLoad(tools, [
      mode,
      '-u',
      chat,
      '-m',
      model,
      '-P',
      String(running.pid),
      '-X',
      String(upstream.pid),
      ...running.headers.flatMap((h) => ['-H', h]),
      ...more,
    ])
  const idleMb = rssMb(running.pid)
  await load('sse', 'mock-n50-d5-f5', ['-c', '100', '-w', '1', '-s', '2'])
  await load('http', 'mock-n10', ['-c', '64', '-w', '0.5', '-s', '1.5'])
  const stream = await load('sse', 'mock-n100-d20-f50', ['-c', '1000', '-R', '2', '-w', '3', '-s', String(seconds)])
  const unpaced = await load('sse', 'mock-n200', ['-c', '50', '-w', '0.5', '-s', '2'])
  const json = await load('http', 'mock-n10', ['-c', '64', '-w', '0.5', '-s', '3'])
  const paced = await load('http', 'mock-n10', ['-c', '64', '-r', '300', '-w', '0.5', '-s', '3'])
  return {
    streamUsPerToken: stream.cpu_us_per_tok ?? Number.NaN,
    carried: stream.tok_s,
    errors: Object.values(stream.errors).reduce((a, b) => a + b, 0),
    ttftP50: (stream.ttft?.p50 ?? Number.NaN) / 1000 - 50,
    ttftP99: (stream.ttft?.p99 ?? Number.NaN) / 1000 - 50,
    lagP50: (stream.lat?.p50 ?? Number.NaN) / 1000,
    lagP99: (stream.lat?.p99 ?? Number.NaN) / 1000,
    rssMb: (stream.rss_kb ?? 0) / 1024,
    unpacedUsPerToken: unpaced.cpu_us_per_tok ?? Number.NaN,
    jsonUs: json.cpu_us_per_req ?? Number.NaN,
    jsonP50: (paced.e2e?.p50 ?? Number.NaN) / 1000,
    idleMb,
  }
}

async function measureAlone(running: Running): Promise<Record<string, number>> {
  const loop = await stats(running)
  const submit = await submitLatency(running, 500, 4)
  return {
    ready_ms: running.readyMs!,
    submit_p50_ms: submit.p50,
    submit_p99_ms: submit.p99,
    submit_refused: submit.refused,
    jobs_per_s: await jobsPerSecond(running, 10_000),
    resume_first_byte_ms: await resumeFirstByte(running, 2_000),
    loop_p99_ms: loop['loop_delay_p99_ms'],
    loop_max_ms: loop['loop_delay_max_ms'],
    commit_p99_ms: loop['commit_p99_ms'],
    wal_mb: (loop['wal_max_bytes'] ?? 0) / 2 ** 20,
  }
}
