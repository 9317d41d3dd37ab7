import { expect, it } from 'vitest'
import { manualClock } from '../../../../test/manual-clock.ts'
import { Wheel } from '../../../core/clock.ts'
import { systemIds } from '../../../core/ids.ts'
import type { Connection } from '../client/connection.ts'
import type { Scripts } from '../client/scripts.ts'
import { AttemptLog } from './attempt.ts'
import { Flush } from './flush.ts'

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
