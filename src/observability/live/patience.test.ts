import { expect, it } from 'vitest'
import { manualClock } from '../../../test/manual-clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { Patience } from './patience.ts'

const turn = (): Promise<void> => new Promise((done) => setImmediate(done))
const never = (): Promise<never> => new Promise(() => {})

it('waits five seconds at most, and tells since when nothing has answered', async () => {
  const clock = manualClock()
  const patience = new Patience(clock)
  const told: string[] = []
  const wait = (work: Promise<unknown>): void =>
    void patience.wait(work).then(
      () => told.push('answered'),
      (error: SluiceError) => told.push(`${error.code}: ${error.message}`),
    )
  wait(never())
  clock.advance(4_999)
  await turn()
  expect(told).toEqual([])
  clock.advance(1)
  await turn()
  expect(told).toEqual([expect.stringMatching(/^storage_unavailable: .* has not answered for 5 ?s/)])
  clock.advance(2_000)
  wait(Promise.reject(new SluiceError('storage_unavailable')))
  await turn()
  expect(told[1]).toMatch(/for 7 ?s/)
  wait(Promise.resolve())
  await turn()
  expect(told[2]).toBe('answered')
  clock.advance(60_000)
  wait(Promise.reject(new SluiceError('storage_unavailable')))
  await turn()
  expect(told[3]).toMatch(/for 1 ?s/)
})

it('passes on what is no outage as it is', async () => {
  const patience = new Patience(manualClock())
  const fault = new Error('ours')
  await expect(patience.wait(Promise.reject(fault))).rejects.toBe(fault)
})
