/**
 * npm run bench -- goals [--parts tokens,websocket,streams,stored,held,limits,fleet,page] [--rounds 2] [--seconds 3]
 * [--minutes 10] [--stored 1000000] [--priority raised] [--short] [--json]
 *
 * All that DESIGN.md, section 7, wants to be reached, as one table: the goal, what was measured, met or not. By default
 * about 40 minutes, of which 10 are the event loop's and 5 fill a store with a million jobs; `--short` is about five,
 * for trying it out. A part that can't be measured here is named, and its rows tell so.
 *
 *   tokens     10, 100 and 1,000 streams, unpaced ones and calls, beside nginx and Node; what Sluice does alone
 *   websocket  1,000 streams over WebSocket; idle ones
 *   streams    2,000 streams; without gathering
 *   stored     with so many stored jobs beside none
 *   held       the event loop over minutes of 1,000 streams, large bodies and refusals
 *   limits, fleet, page: as `npm run bench -- limits`, and so on
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ended, freePort, launch, nginx, passthrough, pause, sluice } from '../targets.ts'
import { buildTools, isAllowed, type Priority } from '../tools.ts'
import { type FigureName, goalsTable } from './goals.ts'
import { type Figures, measureStored, measureStreams } from './growth.ts'
import { measureHeld } from './held.ts'
import { ofFleet, ofLimits, ofPage, ofSockets, ofTokens } from './told.ts'

const MOST_MS = 30 * 60_000
const NAMES = ['tokens', 'websocket', 'streams', 'stored', 'held', 'limits', 'fleet', 'page'] as const
const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    parts: { type: 'string', default: NAMES.join() },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    minutes: { type: 'string' },
    stored: { type: 'string' },
    priority: { type: 'string', default: 'raised' },
    short: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const { short } = values
const rounds = Number(values.rounds ?? (short ? 1 : 2))
const seconds = Number(values.seconds ?? (short ? 1 : 3))
const minutes = Number(values.minutes ?? (short ? 0.3 : 10))
const stored = Number(values.stored ?? (short ? 20_000 : 1_000_000))
const parts = values.parts.split(',')
const note = (text: string): void => void process.stderr.write(`${text}\n`)
const priority = isAllowed(values.priority as Priority) ? (values.priority as Priority) : 'ordinary'
const tools = buildTools()
if (tools === null) {
  note('The C tools are not here, and no compiler: nothing to measure with.')
  process.exit(2)
}
const upstreamPort = await freePort()
const upstream = launch(priority, tools.upstream, ['-p', String(upstreamPort)], {}, 1)
await pause(300)
const bench = { tools, priority, upstreamPort, rounds, seconds, note }
const common = ['--rounds', String(rounds), '--seconds', String(seconds), '--priority', priority]
const each = ['--rounds', String(short ? 2 : 3), '--seconds', String(short ? 0.5 : 2)]

const PARTS: Readonly<Record<(typeof NAMES)[number], () => Promise<Figures>>> = {
  async tokens() {
    const told = await json([...common, '--only', 'nginx,node,sluice'])
    return ofTokens(told, { nginx: nginx.name, node: passthrough.name, sluice: sluice.name })
  },
  websocket: async () => ofSockets(await json([...common, '--only', 'websocket'])),
  streams: () => measureStreams(bench),
  stored: () => measureStored(bench, stored),
  held: () => measureHeld(tools, priority, upstreamPort, minutes),
  limits: async () => ofLimits(await json(['limits', ...each])),
  fleet: async () => ofFleet(await json(['fleet', ...common, '--parts', 'tokens'])),
  page: async () => ofPage(await json(['page', '--rounds', String(short ? 3 : 8), '--seconds', String(short ? 1 : 3)])),
}

const measured = new Map<FigureName, readonly number[]>()
try {
  for (const name of parts) {
    const measure = PARTS[name as keyof typeof PARTS]
    if (measure === undefined) {
      note(`There is no part "${name}": ${NAMES.join(', ')}.`)
      process.exit(2)
    }
    const startedAt = performance.now()
    note(`${name} …`)
    try {
      for (const [figure, all] of await measure()) measured.set(figure, all)
    } catch (error) {
      note(`${name} was not measured: ${(error as Error).message}`)
    }
    note(`${name}: ${Math.round((performance.now() - startedAt) / 1_000)} s`)
  }
} finally {
  await ended(upstream, 'SIGKILL')
}
process.stdout.write(
  values.json
    ? `${JSON.stringify(Object.fromEntries(measured))}\n`
    : `${goalsTable(measured, parts.length === NAMES.length)}\n`,
)
process.exit(0)

/** Another of these benchmarks, in a process of its own; none takes a third of this. */
function json(args: readonly string[]): Promise<unknown> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../main.ts'), ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: MOST_MS,
  })
  let text = ''
  child.stdout.on('data', (part: Buffer) => (text += part.toString()))
  return new Promise((done, failed) =>
    child.once('exit', (code) => {
      try {
        done(JSON.parse(text))
      } catch {
        failed(new Error(`it ended with ${code}, and no figures`))
      }
    }),
  )
}
