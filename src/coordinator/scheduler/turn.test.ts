/** When it is a job's own turn: what came before is no wait in line (TtftParts). */
import { expect, it } from 'vitest'
import type { Tally } from '../../core/ports/coordinator.ts'
import { done, failed, job, setUp } from './testing/jobs.ts'

const NEVER_RAN: Tally = { attempts: 0, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }

it('is told of a job that waits for nothing but room as none, however long its submit took', () => {
  const { scheduler, submit, lease } = setUp()
  submit(5, job('1', { lane: 'chat' }))
  expect(scheduler.notes('1')?.turnMs).toBe(0)
  lease(9_000)
  expect(scheduler.notes('1')?.turnMs).toBe(0)
  expect(scheduler.tally('1')).not.toHaveProperty('turnMs')
})

it('comes in a lane when the job before it has ended, however long it then waits for room', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1', { lane: 'chat' }), job('2', { lane: 'chat' }), job('3', { lane: 'chat' }))
  lease(0)
  expect(scheduler.notes('2')?.turnMs).toBe(null)
  scheduler.finish('1', 1, done(), 4_000)
  expect(lease(4_700)).toEqual(['2'])
  expect(scheduler.notes('2')?.turnMs).toBe(4_000)
  scheduler.cancel('3', 5_000)
})

it('comes when its delay is over', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1', { notBeforeMono: 500 }))
  expect(lease(700)).toEqual(['1'])
  expect(scheduler.notes('1')?.turnMs).toBe(700)
})

it('comes when all that it comes after have ended', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1'), job('2'), job('3', { after: ['1', '2'] }))
  lease(0, 2)
  scheduler.finish('1', 1, done(), 1_000)
  expect(scheduler.notes('3')?.turnMs).toBe(null)
  scheduler.finish('2', 1, done(), 3_000)
  expect(scheduler.notes('3')?.turnMs).toBe(3_000)
})

it('comes once: pauses between attempts, and lanes that are paused, are waits in line', () => {
  const { scheduler, submit, lease } = setUp()
  submit(0, job('1', { lane: 'chat', notBeforeMono: 500 }))
  lease(500)
  scheduler.finish('1', 1, failed(true, 10_000), 600)
  expect(scheduler.state('1')).toBe('delayed')
  lease(20_000)
  expect(scheduler.notes('1')?.turnMs).toBe(500)
  expect(scheduler.tally('1')).toMatchObject({ attempts: 2, turnMs: 500 })
  scheduler.pause({ lane: 'other' })
  submit(20_000, job('2', { lane: 'other', acceptedMono: 20_000 }))
  expect(lease(21_000)).toEqual([])
  expect(scheduler.notes('2')?.turnMs).toBe(0)
})

it('is known of what a restart finds as far as it was stored, or can be told', () => {
  const { scheduler, lease } = setUp()
  const before = { acceptedMono: -9_000 }
  scheduler.restore(job('ran', before), { ...NEVER_RAN, attempts: 1, turnMs: 4_000 }, 0)
  scheduler.restore(job('unknown', before), { ...NEVER_RAN, attempts: 1 }, 0)
  scheduler.restore(job('delayed', { ...before, notBeforeMono: -3_000 }), NEVER_RAN, 0)
  scheduler.restore(job('at once', { ...before, notBeforeMono: -9_000 }), NEVER_RAN, 0)
  scheduler.restore(job('head', { ...before, lane: 'chat', notBeforeMono: -9_000 }), NEVER_RAN, 0)
  scheduler.restore(job('next', { ...before, lane: 'chat', notBeforeMono: -9_000 }), NEVER_RAN, 0)
  scheduler.restore(job('retried', { ...before, notBeforeMono: 500 }), { ...NEVER_RAN, attempts: 1, turnMs: 2_000 }, 0)
  const turnOf = (id: string) => scheduler.notes(id)?.turnMs
  expect(['ran', 'unknown', 'delayed', 'at once', 'head', 'next'].map(turnOf)).toEqual([4_000, 0, 6_000, 0, 0, null])
  lease(0, 10)
  expect(lease(800)).toEqual(['retried'])
  expect(turnOf('retried')).toBe(2_000)
  scheduler.finish('head', 1, done(), 1_000)
  expect(turnOf('next')).toBe(10_000)
})
