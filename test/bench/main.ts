/**
 * npm run bench [-- --rounds 3 --seconds 5 --only nginx,node,portkey,sluice,websocket --loads 1000,100,10,unpaced,json,
 * json300,alone --priority raised,ordinary --before TREE --short --json --profile 1000]
 *
 * Interleaved rounds in random order, each target fresh and warmed; medians; CPU of the server's process, all its
 * threads, over exactly the measured window. Each round runs at every priority named. `--before` puts another checkout
 * of Sluice into the same rounds: the only fair way to compare two versions. `--short` takes less than a minute;
 * `--profile LOAD` tells where the time goes instead (profile.ts). Without the C tools a small load of our own is
 * used instead, with a note. A first word measures something else: `gateways` the six workloads that gateways are
 * compared by, `goals` the whole table of what Sluice is to reach, `page` an open dashboard, `fleet` a fleet on Redis,
 * `intakes` a broker in front,
 * `limits` limits and refusals, `recorder` recording, `parts` each part by itself, `plan` where a
 * job goes; each in a folder of that name.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { jobsPerSecond, ownNumbers, resumeFirstByte, submitLatency } from './alone.ts'
import { durationS, type Load, loadsOf, put, type Shown, warmUp, warmUpS } from './loads.ts'
import { hasPerf, PROFILED, type Profiled, profileFor, profileTable } from './profile.ts'
import { Progress } from './progress.ts'
import { markdown, ownTable, type Row } from './report.ts'
import { smallLoad } from './small.ts'
import { measureSockets, type SocketRow, socketTable } from './sockets.ts'
import {
  freePort,
  hasNginx,
  nginx,
  passthrough,
  pause,
  portkey,
  ROOT,
  type Running,
  sluice,
  sluiceIn,
  type Target,
} from './targets.ts'
import { buildTools, isAllowed, type Priority, pinned, rssMb, type Tools } from './tools.ts'

const [, , part = ''] = process.argv
// A folder beside this file
if (/^[a-z]+$/.test(part) && existsSync(join(import.meta.dirname, part, 'main.ts'))) {
  await import(`./${part}/main.ts`)
  process.exit(0)
}
const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string' },
    loads: { type: 'string' },
    priority: { type: 'string' },
    before: { type: 'string' },
    short: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
    json: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
})
if (values.help) {
  process.stdout.write(`npm run bench [-- options]
npm run bench -- gateways [options]  the six workloads of gateways: see test/bench/gateways/main.ts
npm run bench -- goals [options]   every goal, measured, met or not: see test/bench/goals/main.ts
npm run bench -- page [options]    what an open dashboard costs: see test/bench/page/main.ts
npm run bench -- fleet [options]   a fleet on Redis: see test/bench/fleet/main.ts
npm run bench -- limits [options]  what limits and refusals cost: see test/bench/limits/main.ts
npm run bench -- parts [options]   what each part costs when it is on: see test/bench/parts/main.ts
npm run bench -- plan [options]    what it costs to decide where a job goes: see test/bench/plan/main.ts
npm run bench -- recorder [options]  what recording costs: see test/bench/recorder/main.ts

  --short              in less than a minute: one short round, nginx and Sluice
  --rounds N           of each target, interleaved (3)
  --seconds N          measured for each load (5)
  --only A,B           nginx, node, portkey, sluice, websocket
  --loads A,B          1000, 100, 10, unpaced, json, json300, alone
  --priority A,B       raised, ordinary
  --before TREE        another checkout of Sluice, in the same rounds
  --profile LOAD       where the time goes, instead of tables
  --json               figures instead of tables
`)
  process.exit(0)
}
const { short } = values
const rounds = Number(values.rounds ?? (short ? 1 : 3))
const seconds = Number(values.seconds ?? (short ? 1.5 : 5))
const only = (values.only ?? (short ? 'nginx,sluice' : '')).split(',').filter((name) => name !== '')
const wanted = (values.loads ?? (short ? '1000,100,json,json300' : '')).split(',').filter((name) => name !== '')
const wants = (list: readonly string[], name: string): boolean => list.length === 0 || list.includes(name)
const note = (text: string): void => void process.stderr.write(`${text}\n`)

const tools = buildTools()
if (tools === null) {
  note('The C tools are not here: a small load of our own, whose figures are for orientation only.')
  await smallLoad()
  process.exit(0)
}

const priorities = (values.priority ?? (short ? 'raised' : 'raised,ordinary')).split(',').filter((name) => {
  const isGranted = isAllowed(name as Priority)
  if (!isGranted) note(`${name} priority is not granted here: left out.`)
  return isGranted
}) as Priority[]
if (priorities.length === 0) priorities.push('ordinary')

const candidates: Array<[string, () => Target | null]> = [
  ['nginx', () => (hasNginx() ? nginx : null)],
  ['node', () => passthrough],
  ['portkey', portkey],
  ['sluice', () => sluice],
]
const targets = candidates.flatMap(([name, make]) => {
  if (!wants(only, name)) return []
  const target = make()
  if (target === null) note(`${name} is not to be had here: left out.`)
  return target === null ? [] : [target]
})
if (values.before !== undefined) targets.push(sluiceIn(resolve(values.before), 'Sluice before'))

const loads = loadsOf(seconds).filter(({ name }) => wants(wanted, name))
const isAlone = wants(wanted, 'alone')
const withSockets = wants(only, 'websocket') && values.profile === undefined
const upstreamPort = await freePort()
const [command, args] = pinned(1, priorities[0], tools.upstream, ['-p', String(upstreamPort)])
const upstream = spawn(command, args, { stdio: 'ignore' })
await pause(300)

const rows = new Map<string, Row[]>(targets.map((t) => [t.name, []]))
const own = new Map<string, Array<Record<string, number>>>()
let sockets: ReadonlyMap<string, readonly SocketRow[]> | null = null
try {
  if (values.profile !== undefined) process.stdout.write(`${await profiled(tools, values.profile)}\n`)
  else {
    const progress = new Progress(note, rounds * priorities.length * targets.length, targetS())
    for (let round = 1; round <= rounds; round++)
      for (const priority of priorities)
        for (const target of targets.toSorted(() => Math.random() - 0.5))
          progress.tell(`round ${round}, ${priority}, ${target.name}: ${await measure(tools, target, priority)}`)
    if (withSockets)
      sockets = await measureSockets(
        tools,
        priorities[0],
        { port: upstreamPort, pid: upstream.pid! },
        rounds,
        seconds,
        note,
      )
  }
} finally {
  upstream.kill('SIGKILL')
}

if (values.profile === undefined) {
  if (values.json) {
    const plain = [...rows].map(([name, all]) => [name, all.map((r) => ({ ...r, shown: Object.fromEntries(r.shown) }))])
    const all = {
      rows: Object.fromEntries(plain),
      own: Object.fromEntries(own),
      websocket: Object.fromEntries(sockets ?? []),
    }
    process.stdout.write(`${JSON.stringify(all)}\n`)
  } else {
    if (targets.length > 0) process.stdout.write(`${markdown(rows)}\n`)
    if (own.size > 0) process.stdout.write(`\n${ownTable(own, rows)}\n`)
    if (sockets !== null) process.stdout.write(`\n${socketTable(sockets)}\n`)
  }
}

/** About how long one target takes in one round, s. */
function targetS(): number {
  return loads.reduce((sum, load) => sum + durationS(load), warmUpS + 1) + (isAlone ? 4 : 0)
}

async function measure(tools: Tools, target: Target, priority: Priority): Promise<string> {
  const running = await target.start(upstreamPort, priority)
  try {
    const idleMb = rssMb(running.pid)
    await warmUp(tools, priority, running)
    const shown = new Map<string, Shown>()
    for (const load of loads) shown.set(load.name, await put(tools, priority, running, load))
    rows.get(target.name)!.push({ priority, idleMb, shown })
    if (isAlone && running.adminUrl !== undefined) {
      const all = own.get(target.name) ?? []
      own.set(target.name, all)
      all.push(await measureAlone(running, priority))
    }
    return loads.map((load) => `${load.name} ${costOf(load, shown.get(load.name)!).toFixed(1)} µs`).join(', ')
  } finally {
    await running.stop()
  }
}

/** Of a token or a call. */
function costOf({ mode }: Load, shown: Shown): number {
  return mode === 'sse' ? shown.usPerToken : shown.usPerRequest
}

/** Sluice, and what is to be compared, under one load: measured, and then measured again under perf. */
async function profiled(tools: Tools, name: string): Promise<string> {
  const load = loadsOf(seconds).find((each) => each.name === name)
  if (load === undefined) throw new Error(`no load is named ${name}`)
  if (!hasPerf()) throw new Error('perf is not installed')
  const all: Profiled[] = []
  for (const [root, title] of [
    [values.before, 'before'],
    [ROOT, 'now'],
  ] as const) {
    if (root === undefined) continue
    const running = await sluiceIn(resolve(root), title, PROFILED).start(upstreamPort, priorities[0])
    try {
      await warmUp(tools, priorities[0], running)
      const us = costOf(load, await put(tools, priorities[0], running, load))
      const again = put(tools, priorities[0], running, load)
      await pause((load.window.ramp + load.window.warm) * 1000)
      const profile = await profileFor(priorities[0], running.pid, load.window.measured)
      await again
      all.push({ name: title, us, profile })
      note(`${title}: ${us.toFixed(1)} µs, ${profile.samples} samples`)
      for (const [symbol, share] of profile.top) note(`  ${(share * 100).toFixed(1)} % ${symbol}`)
    } finally {
      await running.stop()
    }
  }
  return profileTable(name, all)
}

async function measureAlone(running: Running, priority: Priority): Promise<Record<string, number>> {
  const told = await ownNumbers(running)
  const submit = await submitLatency(running, priority, 500, 4)
  return {
    ready_ms: running.readyMs!,
    submit_p50_ms: submit.p50,
    submit_p99_ms: submit.p99,
    submit_refused: submit.refused,
    jobs_per_s: await jobsPerSecond(running, 10_000),
    resume_first_byte_ms: await resumeFirstByte(running, 2_000),
    ...told,
  }
}
