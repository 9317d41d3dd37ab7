/**
 * npm run bench -- gateways [--rounds 2] [--seconds 3] [--only direct,nginx,node,sluice,portkey,litellm]
 * [--dialects chat,responses,messages] [--priority raised] [--short] [--json]
 *
 * The six workloads that gateways are compared by: chat, Responses and Messages, streamed and not. Each target on one
 * core and fresh for each round, an upstream that speaks all three dialects natively, the C load client: what is added
 * at a load that all of them can carry, and how much each carries. By default about 12 minutes; `--short`: one.
 * Portkey and LiteLLM are installed into the temporary folder; what can't be had is named and left out.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Progress } from '../progress.ts'
import { answers, ended, freePort, type Running } from '../targets.ts'
import { buildTools, isAllowed, type Priority, pinned, rssMb, runLoad, type Tools } from '../tools.ts'
import { DIALECTS, type DialectName, isWhole, requestOf } from './dialects.ts'
import { LOADS, loadS, type WorkLoad } from './loads.ts'
import { type Cell, type Figures, gatewayTables } from './tables.ts'
import { GATEWAYS, type Gateway } from './targets.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string', default: GATEWAYS.map(([name]) => name).join() },
    dialects: { type: 'string' },
    priority: { type: 'string', default: 'raised' },
    short: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const note = (text: string): void => void process.stderr.write(`${text}\n`)
const rounds = Number(values.rounds ?? (values.short ? 1 : 2))
const seconds = Number(values.seconds ?? (values.short ? 0.4 : 3))
const only = values.only.split(',')
const dialects = (values.dialects ?? (values.short ? 'chat' : 'chat,responses,messages')).split(',') as DialectName[]
const priority = isAllowed(values.priority as Priority) ? (values.priority as Priority) : 'ordinary'
if (priority !== values.priority) note(`${values.priority} priority is not granted here.`)
const tools = buildTools()
if (tools === null) {
  note('The C tools are not here, and no compiler: nothing to measure with.')
  process.exit(2)
}
const targets = GATEWAYS.flatMap(([name, make]) => {
  if (!only.includes(name)) return []
  const target = make()
  if (target === null) note(`${name} is not to be had here: left out.`)
  return target === null ? [] : [target]
})

const upstreamPort = await freePort()
const script = join(import.meta.dirname, 'upstream.ts')
const upstream = spawn(...pinned(1, priority, process.execPath, [script, String(upstreamPort)]), { stdio: 'ignore' })
const folder = mkdtempSync(join(tmpdir(), 'sluice-gateways-'))
const found = new Map<string, Map<Cell, Figures[]>>(targets.map(({ name }) => [name, new Map()]))
const refusals: string[] = []
try {
  await answers(`http://127.0.0.1:${upstreamPort}/`)
  const one = dialects.length * LOADS.reduce((sum, load) => sum + loadS(load, seconds), 0)
  const progress = new Progress(note, rounds * targets.length, one + 3)
  for (let round = 1; round <= rounds; round++)
    for (const target of targets.toSorted(() => Math.random() - 0.5)) {
      await measure(tools, target)
      progress.tell(`round ${round}, ${target.name}`)
    }
} finally {
  await ended(upstream, 'SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
if (values.json) {
  const plain = [...found].map(([name, cells]) => [name, Object.fromEntries(cells)])
  process.stdout.write(`${JSON.stringify(Object.fromEntries(plain))}\n`)
} else process.stdout.write(`${gatewayTables(found, dialects, rounds)}\n`)
for (const text of new Set(refusals)) process.stdout.write(`\n${text}\n`)
process.exit(0)

async function measure(tools: Tools, target: Gateway): Promise<void> {
  const running = await target.start(upstreamPort, priority)
  try {
    for (const dialect of dialects) {
      for (const load of LOADS) {
        const stream = load.mode === 'sse'
        const wrong = await tried(target, running, dialect, load)
        if (wrong !== null) {
          refusals.push(`Left out: ${target.name}, ${dialect}, ${stream ? 'streamed' : 'whole'}: ${wrong}`)
          continue
        }
        const key: Cell = `${dialect} ${load.name}`
        const all = found.get(target.name)!
        all.set(key, [...(all.get(key) ?? []), await put(tools, target, running, dialect, load)])
      }
    }
  } finally {
    await running.stop()
  }
}

function headersOf(target: Gateway, running: Running, dialect: DialectName): readonly string[] {
  const own = target.headersOf?.(running, dialect) ?? running.headers
  return dialect === 'messages' ? [...own, 'anthropic-version: 2023-06-01', 'x-api-key: sk-mock-0123456789'] : own
}

function modelOf(target: Gateway, dialect: DialectName, { script }: WorkLoad): string {
  return target.modelOf?.(dialect, script) ?? script
}

/** Null: one call is answered whole, in its dialect. What the load client checks is the tokens, in any framing. */
async function tried(target: Gateway, running: Running, dialect: DialectName, load: WorkLoad): Promise<string | null> {
  const stream = load.mode === 'sse'
  const body = JSON.stringify(requestOf(dialect, stream)).replace('%M', modelOf(target, dialect, load))
  const given = headersOf(target, running, dialect).map((each) => each.split(': ', 2) as [string, string])
  try {
    const response = await fetch(`${running.url}${DIALECTS[dialect].path}`, {
      method: 'POST',
      headers: { ...Object.fromEntries(given), 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(15_000),
    })
    const text = await response.text()
    if (response.status !== 200) return `answers ${response.status}: ${text.slice(0, 120).replace(/\s+/g, ' ')}`
    return isWhole(dialect, stream, text) ? null : `its answer is not whole: …${text.slice(-120).replace(/\s+/g, ' ')}`
  } catch (error) {
    return `no answer: ${(error as Error).message}`
  }
}

async function put(
  tools: Tools,
  target: Gateway,
  running: Running,
  dialect: DialectName,
  load: WorkLoad,
): Promise<Figures> {
  const file = join(folder, `${dialect}-${load.mode}.json`)
  writeFileSync(file, JSON.stringify(requestOf(dialect, load.mode === 'sse')))
  const measured = await runLoad(tools, priority, running.pid, load.windowOf(seconds), [
    ...[load.mode, '-u', `${running.url}${DIALECTS[dialect].path}`, '-m', modelOf(target, dialect, load), '-B', file],
    ...['-c', String(load.connections), ...(load.rate === undefined ? [] : ['-r', String(load.rate)])],
    ...headersOf(target, running, dialect).flatMap((header) => ['-H', header]),
  ])
  const { cpuUsPerS, rps, tok_s, ttft, lat, e2e, errors } = measured
  const ms = (us: number | undefined): number => (us ?? Number.NaN) / 1_000
  // "[DONE]" ends chat alone; that the others end well was looked at beforehand
  const { nodone = 0, ...failed } = errors
  const count = Object.values(failed).reduce((sum, n) => sum + n, 0) + (dialect === 'chat' ? nodone : 0)
  return {
    ...{ usPerCall: cpuUsPerS / rps, usPerToken: cpuUsPerS / tok_s, callsPerS: rps, tokensPerS: tok_s },
    ...{ callP50: ms(e2e?.p50), callP99: ms(e2e?.p99), ttftP50: ms(ttft?.p50), ttftP99: ms(ttft?.p99) },
    ...{ lagP50: ms(lat?.p50), lagP99: ms(lat?.p99), rssMb: rssMb(running.pid), errors: count },
  }
}
