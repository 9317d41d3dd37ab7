/** The times of a run: a table of them for people, and whether they are as promised. */

import { LEASE_MS } from './node.ts'
import type { Fault, Times } from './times.ts'

/** Goals of the issue, ms. */
const ACCEPT_MS: Readonly<Record<Fault, number>> = {
  'kill coordinator': 1_000,
  'stop coordinator': 2_500,
  'kill gateway': 1_000,
  'kill worker': 1_000,
}
const RESUME_MS = 2_000
const GO_ON_MS = LEASE_MS + 2_000
/** Above what a busy machine does to a stream whatever happens. */
const SILENCE_MS = 1_000

/** A goal is for a process that has its CPU: what others take of it, the control loses as well. */
export const acceptLimit = ({ fault, slowdown }: Pick<Times, 'fault' | 'slowdown'>): number =>
  ACCEPT_MS[fault] * slowdown

const round = (ms: number): string => (Number.isFinite(ms) ? String(Math.round(ms)) : 'never')

/** Median and worst. */
function shown(values: readonly number[]): string {
  if (values.length === 0) return '-'
  const sorted = values.toSorted((a, b) => a - b)
  return `${round(sorted[Math.floor((sorted.length - 1) / 2)])} / ${round(sorted.at(-1)!)} (${values.length})`
}

const COLUMNS: ReadonlyArray<readonly [string, (of: readonly Times[]) => readonly number[]]> = [
  ['next accepted', (of) => of.map(({ acceptMs }) => acceptMs)],
  ['limit', (of) => of.map(acceptLimit)],
  ['reader resumed', (of) => of.flatMap(({ resumeMs }) => resumeMs)],
  ['job went on', (of) => of.flatMap(({ goOnMs }) => goOnMs)],
  ['silence elsewhere', (of) => of.map(({ silenceMs }) => silenceMs)],
]

/** Rows of text: each fault, and how long what took. */
export function timesTable(times: readonly Times[]): string[] {
  const rows = [['ms: median / worst (n)', ...COLUMNS.map(([name]) => name), 'calls refused']]
  for (const [fault, of] of Map.groupBy(times, ({ fault }) => fault)) {
    const failed = of.reduce((n, each) => n + each.failed, 0)
    const calls = of.reduce((n, each) => n + each.calls, 0)
    rows.push([fault, ...COLUMNS.map(([, values]) => shown(values(of))), `${failed} of ${calls}`])
  }
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  )
}

const tooLate = (of: Times): string =>
  `${of.fault}: a call was accepted after ${round(of.acceptMs)} ms, where ${round(acceptLimit(of))} is promised ` +
  `(${of.slowdown.toFixed(2)} times as slow as alone)`

/**
 * What took longer than it may in every round: another program on the machine makes one round slow, a fault of ours all
 * of them. What never came, and calls that failed, are wrong in any.
 */
export function tooSlow(times: readonly Times[]): string[] {
  const wrong: string[] = []
  for (const [fault, of] of Map.groupBy(times, ({ fault }) => fault)) {
    const judge = (what: string, most: number, rounds: ReadonlyArray<readonly number[]>): void => {
      const worst = rounds.filter((values) => values.length > 0).map((values) => Math.max(...values))
      const never = worst.filter((ms) => ms === Infinity).length
      if (never > 0) wrong.push(`${fault}: in ${never} of ${worst.length} rounds there was no ${what}`)
      else if (Math.min(...worst) > most && worst.length > 0)
        wrong.push(`${fault}: ${what} after ${worst.map(round).join(', ')} ms, where ${most} is promised`)
    }
    // The load is accounted for: more than half of the rounds must hold
    const late = of.filter((each) => each.acceptMs > acceptLimit(each))
    if (2 * late.length >= of.length) wrong.push(...late.map(tooLate))
    judge(
      'reader resumed',
      RESUME_MS,
      of.map(({ resumeMs }) => resumeMs),
    )
    judge(
      'job gone on',
      GO_ON_MS,
      of.map(({ goOnMs }) => goOnMs),
    )
    judge(
      'token elsewhere',
      SILENCE_MS,
      of.map(({ silenceMs }) => [silenceMs]),
    )
    const failed = of.reduce((n, each) => n + each.failed, 0)
    if (failed > 0) wrong.push(`${fault}: ${failed} calls were not accepted`)
  }
  return wrong
}
