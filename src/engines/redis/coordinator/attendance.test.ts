/** Who reads a plain POST, as the coordinator counts it. */
import { expect, it } from 'vitest'
import { manualClock } from '../../../../test/manual-clock.ts'
import { Attendance } from './attendance.ts'

it('a heartbeat that a command has overtaken does not bring a reader back that has left', () => {
  const clock = manualClock()
  const over: string[] = []
  const attendance = new Attendance(clock, 4_000, (job) => over.push(job))
  attendance.add('job_1', 'a')
  // Told at 1,000 that it is read there, at 1,001 that it is no more; heard the other way round
  attendance.left('job_1', 'a', 0, 1_001)
  attendance.entered('job_1', 'a', 1_000)
  clock.advance(4_000)
  expect(over).toEqual(['job_1'])
  expect(attendance.isLeft('job_1')).toBe(true)
})

it('one that is told later does, and so does another process', () => {
  for (const back of ['a', 'b']) {
    const clock = manualClock()
    const over: string[] = []
    const attendance = new Attendance(clock, 4_000, (job) => over.push(job))
    attendance.add('job_1', 'a')
    attendance.left('job_1', 'a', 0, 1_001)
    attendance.entered('job_1', back, back === 'a' ? 1_002 : 500)
    clock.advance(10_000)
    expect(over).toEqual([])
  }
})
