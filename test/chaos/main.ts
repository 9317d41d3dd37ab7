/**
 * npm run test:chaos [-- kill stop … --kills 100 --jobs 10000 --streams 1000 --backlog 50000 --seed N]
 * npm run test:chaos -- fleet fleet-planted [--events 100 --jobs 10000 --rounds 3 --fsync everysec --seed N]
 * npm run test:chaos -- fleet --intake rabbitmq (or kafka): with that broker in front; fleet-intakes: each, in short
 * npm run test:chaos -- fleet-upgrade --before FOLDER [--events 30 --jobs 3000 --seed N]
 */

import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { liveTogether } from '../e2e/two-users.ts'
import { runBacklog } from './backlog.ts'
import { runBurst } from './burst.ts'
import { canFake } from './clocks.ts'
import { runCuts } from './cuts.ts'
import { INTAKES } from './fleet/broker.ts'
import { fleetVerdicts } from './fleet/main.ts'
import type { Fsync } from './fleet/store.ts'
import { runKills } from './kill.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '100' },
    jobs: { type: 'string', default: '10000' },
    streams: { type: 'string', default: '1000' },
    backlog: { type: 'string', default: '50000' },
    events: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '3' },
    fsync: { type: 'string', default: 'always' },
    before: { type: 'string' },
    intake: { type: 'string' },
    seed: { type: 'string' },
  },
})
const ALL = ['burst', 'cuts', 'backlog', 'stop', 'kill', 'users', 'planted', 'fleet-small', 'fleet-intakes']
const only = positionals.length === 0 ? ALL : positionals
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
const clocks = canFake ? 'each life with another clock' : 'honest clocks: no libfaketime here'
let passed = 0
let failed = 0
function verdict(name: string, good: boolean, line: string, wrong: readonly string[] = []): void {
  if (good) passed++
  else failed++
  process.stdout.write(`${good ? 'ok  ' : 'FAIL'} ${name}: ${line}\n`)
  for (const one of wrong.slice(0, 20)) process.stdout.write(`       ${one}\n`)
}

if (only.includes('burst')) {
  const { through, straight, providerRefused } = await runBurst(2_000, 50)
  verdict(
    'burst',
    through.refused === 0 && through.failed === 0 && through.done === 2_000 && providerRefused === 0,
    `2,000 submits at once on 50 slots: ${through.refused} refused, ${through.failed} failed, ${through.done} ` +
      `done in ${through.seconds.toFixed(1)} s; straight at the provider: ${straight.refused} refused, ` +
      `${straight.done} done`,
  )
}
if (only.includes('cuts')) {
  const { exact, streams, cuts, wrong } = await runCuts(Number(values.streams), 5)
  verdict(
    'cuts',
    exact === streams,
    `${streams} streams (chat SSE, native SSE, WebSocket), ${cuts} cuts: ${exact} token-exact`,
    wrong,
  )
}
if (only.includes('backlog')) {
  const { jobs, restarts, slowestProbeMs, slowestStartMs, wrong } = await runBacklog(Number(values.backlog), 3)
  verdict(
    'backlog',
    wrong.length === 0,
    `${restarts} restarts with ${jobs} jobs in line, ${clocks}: probes answered within ` +
      `${Math.round(slowestProbeMs)} ms, ready after ${Math.round(slowestStartMs)} ms at most`,
    wrong,
  )
}
if (only.includes('stop')) {
  const { stops, acked, wrong } = await runKills(15, 1_000, 1, 'stop')
  verdict(
    'stops cut short',
    wrong.length === 0,
    `${stops} stops killed while they drained, ${acked} acknowledged jobs, no crash forgiven, ${clocks}: ` +
      `${wrong.length} violations`,
    wrong,
  )
}
if (only.includes('kill')) {
  const { kills, atPoints, acked, readers, sockets, events, resumes, wrong } = await runKills(
    Number(values.kills),
    Number(values.jobs),
    seed,
  )
  verdict(
    'kill -9',
    wrong.length === 0,
    `${kills} kills (${atPoints} at named points), ${acked} acknowledged jobs, ${readers} readers (${sockets} ` +
      `over WebSocket), ${events} events, ${resumes} resumes, ${clocks}: ${wrong.length} violations (seed ` +
      `${seed})`,
    wrong,
  )
}
if (only.includes('users')) {
  const { answers, kills, wrong } = await liveTogether(24, 8)
  verdict(
    'two users of one tenant',
    wrong.length === 0,
    `${answers} answers at the same names, ${kills} kills: ${wrong.length} seen of the other, or kept from its own`,
    wrong,
  )
}
if (only.includes('planted')) {
  const { wrong } = await liveTogether(4, 0, join(import.meta.dirname, '../e2e/plant-shared-names.ts'))
  verdict('planted: users share their names', wrong.length > 0, `${wrong.length} found, as it must be`)
}
if (only.includes('planted')) {
  // The same oracle over a server that acknowledges what it has not stored: it must see that
  const { acked, wrong } = await runKills(3, 300, 1, 'kill', { SLUICE_DURABILITY: 'memory' })
  const lost = wrong.filter((w) => w.includes('acknowledged and lost')).length
  verdict(
    'planted: acknowledged before it is stored',
    lost > 0,
    `the oracle finds ${lost} of ${acked} acknowledged jobs lost, as it must`,
  )
}
if (only.includes('planted') && canFake) {
  const plant = `--import ${join(import.meta.dirname, 'plant-clock-order.ts')}`
  const { wrong } = await runKills(6, 600, 1, 'kill', { NODE_OPTIONS: plant })
  const disorder = wrong.filter((w) => w.startsWith('P1')).length
  verdict(
    'planted: order from the wall clock',
    disorder > 0,
    `the oracle finds ${disorder} in the wrong order, as it must`,
  )
}
const fsync: Fsync = values.fsync === 'everysec' ? 'everysec' : 'always'
const intake = INTAKES.find((name) => name === values.intake)
if (values.intake !== undefined && intake === undefined)
  throw new Error(`--intake ${values.intake}: ${INTAKES.join(' or ')}`)
const sizes = {
  events: Number(values.events),
  jobs: Number(values.jobs),
  rounds: Number(values.rounds),
  fsync,
  ...(values.before !== undefined && { before: resolve(values.before) }),
  ...(intake !== undefined && { intake }),
}
await fleetVerdicts(only, sizes, seed, verdict)
process.stdout.write(`chaos: ${passed} passed, ${failed} failed\n`)
process.exit(failed === 0 ? 0 : 1)
