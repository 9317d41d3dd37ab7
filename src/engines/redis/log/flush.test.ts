import { expect, it } from 'vitest'
import { manualClock } from '../../../../test/manual-clock.ts'
import { Wheel } from '../../../core/clock.ts'
import { systemIds } from '../../../core/ids.ts'
import type { Connection } from '../client/connection.ts'
import type { Scripts } from '../client/scripts.ts'
import { AttemptLog } from './attempt.ts'
import { Flush } from './flush.ts'

/** A flush whose scripts are answered when the test says so. */
function held() {
  const clock = manualClock()
  /** What each script stores, by job; and its answer. */
  const scripts: Array<{ readonly jobs: readonly string[]; readonly answer: () => Promise<void> }> = []
  const run = (_name: string, args: readonly unknown[]): Promise<unknown> =>
    new Promise((answered) => {
      const jobs = [
        ...Buffer.concat(args.filter((arg): arg is Buffer => arg instanceof Buffer))
          .toString('latin1')
          .matchAll(/job_\d/g),
      ]
      const answer = async (): Promise<void> => {
        answered([])
        await new Promise(setImmediate)
      }
      scripts.push({ jobs: jobs.map(([job]) => job), answer })
    })
  const parts = { process: 'p', clock, wheel: new Wheel(clock), ids: systemIds() }
  const commands = { onTurn() {} } as unknown as Connection
  const flush = new Flush({ ...parts, commands, scripts: { run } as unknown as Scripts, stored() {}, fenced() {} })
  const host = { touch: flush.touch.bind(flush), charge() {} }
  const attempt = (n: number): AttemptLog => new AttemptLog(`job_${n}`, 1, { epoch: 1, head: 0 }, host)
  const turn = async (): Promise<void> => {
    clock.advance(0)
    await new Promise(setImmediate)
  }
  return { clock, scripts, attempt, turn }
}

it('what is urgent does not wait for what is under way, unless that is its own', async () => {
  const { clock, scripts, attempt, turn } = held()
  const [one, two, three] = [attempt(1), attempt(2), attempt(3)]
  one.append(['first'], 1, true)
  await turn()
  two.append(['first'], 1, true)
  one.append(['second'], 1, true)
  three.append(['second'], 1, false)
  await turn()
  expect(scripts.map(({ jobs }) => jobs)).toEqual([['job_1'], ['job_2', 'job_3']])
  await scripts[0].answer()
  await turn()
  expect(scripts.map(({ jobs }) => jobs)).toEqual([['job_1'], ['job_2', 'job_3'], ['job_1']])
  // What is not urgent shares the next one, however long those take
  three.append(['third'], 1, false)
  await scripts[2].answer()
  clock.advance(1_000)
  await turn()
  expect(scripts.length).toBe(3)
  await scripts[1].answer()
  clock.advance(1_000)
  await turn()
  expect(scripts.map(({ jobs }) => jobs)).toEqual([['job_1'], ['job_2', 'job_3'], ['job_1'], ['job_3']])
})

it('few scripts are under way at once, and none of what comes meanwhile is left', async () => {
  const { scripts, attempt, turn } = held()
  const attempts = [1, 2, 3, 4, 5, 6].map(attempt)
  for (const each of attempts) {
    each.append(['text'], 1, true)
    await turn()
  }
  expect(scripts.length).toBe(4)
  await scripts[3].answer()
  await turn()
  expect(scripts.map(({ jobs }) => jobs).at(-1)).toEqual(['job_5', 'job_6'])
  for (const { answer } of scripts) await answer()
  await Promise.all(attempts.map((each) => each.flushed()))
})

/** Enough that a flush is to come only after 60 ms. */
const MANY = 240

it('stores what comes when the wheel is about to stand still', async () => {
  const clock = manualClock()
  const wheel = new Wheel(clock)
  const scripts = { run: async () => [] } as unknown as Scripts
  const commands = { onTurn() {} } as unknown as Connection
  const parts = { process: 'p', commands, scripts, clock, wheel, ids: systemIds() }
  const flush = new Flush({ ...parts, stored() {}, fenced() {} })
  const host = { touch: flush.touch.bind(flush), charge() {} }
  const logs = Array.from({ length: MANY }, (_, i) => new AttemptLog(`job_${i}`, 1, { epoch: 1, head: 0 }, host))
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms)
    await new Promise(setImmediate)
  }
  wheel.in(wheel.beatMs, () => {})
  await pass(wheel.beatMs)
  // It turns for another 20 beats; a flush of many is 10 beats before it stops
  await pass(10 * wheel.beatMs)
  for (const log of logs) log.append(['text'], 1, true)
  await pass(0)
  await Promise.all(logs.map((log) => log.flushed()))
  logs[0].append(['more'], 1, false)
  await pass(1_000)
  expect(logs[0].pendingBytes).toBe(0)
  expect(wheel.turning).toBe(false)
})
