/**
 * The fleet's part of the chaos: `fleet` in full, `fleet-small` as CI runs it, `fleet-intakes` with each broker that is
 * here in front, `fleet-planted`, and `fleet-upgrade`: from an earlier version to this one, node by node.
 */
import { NO_REDIS } from '../../redis/server.ts'
import { INTAKES, type IntakeName, missing } from './broker.ts'
import { PLANTS, plantedEnv } from './plants.ts'
import { type FleetReport, runFleet } from './run.ts'
import type { Fsync } from './store.ts'
import { timesTable, tooSlow } from './verdict.ts'

interface Sizes {
  readonly events: number
  readonly jobs: number
  /** How often each fault is measured. */
  readonly rounds: number
  readonly fsync?: Fsync
  /** The earlier version's sources, with what they need installed: for `fleet-upgrade`. */
  readonly before?: string
  /** In front of the pool of `fleet`. */
  readonly intake?: IntakeName
}

const SMALL: Sizes = { events: 12, jobs: 800, rounds: 1 }
const WITH_INTAKE: Sizes = { events: 6, jobs: 700, rounds: 0 }

type Verdict = (name: string, good: boolean, line: string, wrong?: readonly string[]) => void

const print = (line: string): void => void process.stdout.write(`       ${line}\n`)

export async function fleetVerdicts(
  only: readonly string[],
  sizes: Sizes,
  seed: number,
  verdict: Verdict,
): Promise<void> {
  const chosen = only.filter((name) => name.startsWith('fleet'))
  if (chosen.length === 0) return
  if (NO_REDIS) {
    process.stdout.write('skip fleet: no Redis server here (SLUICE_TEST_REDIS)\n')
    return
  }
  const here = INTAKES.filter((name) => {
    const why = missing(name)
    const isAsked = chosen.includes('fleet-intakes') || chosen.includes('fleet-planted') || sizes.intake === name
    if (why !== null && isAsked) process.stdout.write(`skip fleet with ${name} in front: ${why}\n`)
    return why === null
  })
  const run = (of: Sizes): Promise<FleetReport> => runFleet({ ...of, seed, log: print })
  const judge = (report: FleetReport, name = 'fleet'): void => {
    if (report.times.length > 0) for (const line of timesTable(report.times)) print(line)
    const wrong = [...report.wrong, ...tooSlow(report.times)]
    verdict(name, wrong.length === 0, `${summary(report)}: ${wrong.length} violations (seed ${seed})`, wrong)
  }
  const { before, intake, ...plain } = sizes
  if (chosen.includes('fleet') && intake === undefined) judge(await run(plain))
  if (chosen.includes('fleet') && intake !== undefined && here.includes(intake))
    judge(await run({ ...plain, intake }), `fleet with ${intake} in front`)
  if (chosen.includes('fleet-upgrade')) {
    if (before === undefined) throw new Error('name the earlier version: --before FOLDER')
    judge(await run({ ...plain, before, rounds: 0 }))
  }
  if (chosen.includes('fleet-small')) judge(await run(SMALL))
  if (chosen.includes('fleet-intakes'))
    for (const intake of here) judge(await run({ ...WITH_INTAKE, intake }), `fleet with ${intake} in front`)
  if (chosen.includes('fleet-planted'))
    for (const plant of PLANTS)
      for (const intake of plant.isOfIntakes ? here : [undefined]) {
        const { wrong } = await runFleet({
          events: plant.events.length * plant.times,
          jobs: 300,
          seed,
          rounds: 0,
          env: plantedEnv(plant.name),
          only: plant.events,
          log: () => {},
          ...(intake !== undefined && { intake }),
        })
        const found = wrong.filter((each) => plant.seen.test(each))
        const name = intake === undefined ? plant.name : `${plant.name} (${intake})`
        verdict(`planted: ${name}`, found.length > 0, `${found.length} found, as it must: ${found[0] ?? '-'}`)
      }
}

function summary(report: FleetReport): string {
  const events = [...report.events].map(([name, n]) => `${n} × ${name}`).join(', ')
  return (
    `${[...report.events.values()].reduce((sum, n) => sum + n, 0)} events (${events}), ${report.acked} acknowledged ` +
    `jobs (${report.posted} without a key), ${report.readers} readers, ${report.answers} JSON answers, ` +
    `${report.seen} events read, ${report.resumes} resumes, ${report.seconds.toFixed(0)} s; lost in fail-overs and ` +
    `told: ${report.toldLost} jobs, ${report.toldGaps} readers`
  )
}
