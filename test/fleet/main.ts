/**
 * What a fleet does to its clients, over real processes and a real Redis: npm run test:fleet. Roll needs nginx.
 *
 *   node test/fleet/main.ts mass [--clients 10000] [--gateways 2] [--per-second 500] [--token-ms 3000] [--tokens 80]
 *   node test/fleet/main.ts roll [--streams 300] [--token-ms 100] [--tokens 60] [--intake rabbitmq|kafka]
 *     [--to same|next|this]: to the same version (default: each of these), one that is changed as the next one may be,
 *     or from an earlier commit, [--before HEAD~50], to this one
 *
 * Fails where a goal is missed.
 */
import { parseArgs } from 'node:util'
import { INTAKES, missing } from '../chaos/fleet/broker.ts'
import { EarlierVersion, earlierCommit } from './earlier.ts'
import { quantile, runMass } from './mass.ts'
import { runRoll } from './roll.ts'

const RESUMED_WITHIN_MS = 30_000
const CAUGHT_UP_WITHIN_MS = 2_000
const FROZEN_MS = 12_000
const SHOWN_FAULTS = 10

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clients: { type: 'string', default: '10000' },
    gateways: { type: 'string', default: '2' },
    'per-second': { type: 'string', default: '500' },
    streams: { type: 'string', default: '300' },
    'token-ms': { type: 'string' },
    tokens: { type: 'string' },
    intake: { type: 'string' },
    to: { type: 'string' },
    before: { type: 'string' },
  },
})
const log = (line: string): void => console.log(line)
const number = (given: string | undefined, otherwise: number): number =>
  given === undefined ? otherwise : Number(given)
const missed: string[] = []
const kinds = positionals.length === 0 ? ['mass', 'roll'] : positionals

if (kinds.includes('mass')) {
  const report = await runMass({
    clients: Number(values.clients),
    gateways: Number(values.gateways),
    perSecond: Number(values['per-second']),
    tokens: number(values.tokens, 80),
    tokenMs: number(values['token-ms'], 3_000),
    frozenMs: FROZEN_MS,
    log,
  })
  for (const [what, { resumedMs, missing }] of Object.entries({ cut: report.cut, killed: report.killed }))
    if (missing > 0 || quantile(resumedMs, 1) > RESUMED_WITHIN_MS) missed.push(`${what}: resumed too late`)
  if (report.caughtUpMs < 0 || report.caughtUpMs > CAUGHT_UP_WITHIN_MS) missed.push('stopped: caught up too late')
  missed.push(...report.faults)
}
if (kinds.includes('roll')) {
  const intake = INTAKES.find((name) => name === values.intake)
  if (values.intake !== undefined && intake === undefined) throw new Error(`--intake: ${INTAKES.join(' or ')}`)
  const why = intake === undefined ? null : missing(intake)
  if (why !== null) throw new Error(why)
  const commit = earlierCommit(values.before)
  for (const to of values.to === undefined ? ['same', 'next', 'this'] : [values.to]) {
    if (to === 'this' && commit === null) {
      log('from an earlier version: skipped, its history is not here')
      continue
    }
    log(`rolling restart, ${to === 'this' ? `from ${commit} to this version` : `to the ${to} version`}`)
    const earlier = to === 'this' ? new EarlierVersion(commit!) : null
    const report = await runRoll({
      streams: Number(values.streams),
      tokens: number(values.tokens, 60),
      tokenMs: number(values['token-ms'], 100),
      ...(intake !== undefined && { intake }),
      ...(to === 'next' && { to: { isNext: true } }),
      ...(earlier !== null && { from: { root: earlier.root }, to: {} }),
      log,
    })
    earlier?.remove()
    missed.push(...report.faults)
  }
}
for (const each of missed.slice(0, SHOWN_FAULTS)) console.log(`MISSED ${each}`)
console.log(missed.length === 0 ? 'all goals are met' : `${missed.length} misses`)
// A broker may leave a process that holds a pipe
process.exit(missed.length === 0 ? 0 : 1)
