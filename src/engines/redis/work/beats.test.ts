/** What a process tells a coordinator that is new, over a channel that may lose it. */
import { expect, it } from 'vitest'
import { manualClock } from '../../../../test/manual-clock.ts'
import type { Ground } from '../bus/ground.ts'
import type { Connection } from '../client/connection.ts'
import { Names } from '../client/names.ts'
import { type Beat, type Control, readBeats } from '../protocol/messages.ts'
import { Beats } from './beats.ts'

it('who reads is told a new coordinator more than once, and then no more', () => {
  const clock = manualClock()
  const told: Array<readonly string[]> = []
  let announce = (_: Control): void => {}
  const commands = {
    publish(_channel: string, message: string) {
      for (const { reading = [] } of readBeats(message)) told.push(reading)
      return Promise.resolve(1)
    },
  } as unknown as Connection
  const bus = {
    process: 'p',
    outdated: null,
    onControl(fn: typeof announce) {
      announce = fn
    },
  } as unknown as Ground['bus']
  const reading = ['job']
  const beats = new Beats(
    { clock, commands, bus, names: new Names(), time: { nowMs: () => clock.wallMs() } } as unknown as Ground,
    () => [],
    () => [],
    () => reading,
  )
  announce({ type: 'coordinator', host: 'h', term: '1' })
  for (let i = 0; i < 9; i++) {
    announce({ type: 'coordinator', host: 'h', term: '1' })
    clock.advance(1_000)
  }
  expect(told).toEqual([['job'], ['job'], ['job']])
  announce({ type: 'coordinator', host: 'i', term: '2' })
  expect(told.length).toBe(4)
  beats.close()
})

it('what streams fast is charged before the next beat; a new coordinator is told all that was streamed', () => {
  const clock = manualClock()
  const told: Beat[] = []
  let announce = (_: Control): void => {}
  const commands = {
    publish(_channel: string, message: string) {
      told.push(...readBeats(message))
      return Promise.resolve(1)
    },
  } as unknown as Connection
  const bus = {
    process: 'p',
    outdated: null,
    onControl(fn: typeof announce) {
      announce = fn
    },
  } as unknown as Ground['bus']
  const workers = [{ id: 'p.1', pools: [], slots: 1, version: 1, alive: true, held: ['job 1'] }]
  const beats = new Beats(
    { clock, commands, bus, names: new Names() } as unknown as Ground,
    () => workers,
    () => [['job', 1, 500]],
    () => [],
  )
  for (let i = 0; i < 4; i++) beats.charge('job', 1, 30)
  clock.advance(500)
  expect(told).toEqual([])
  beats.charge('job', 1, 30)
  beats.charge('slow', 1, 1)
  clock.advance(100)
  expect(told).toMatchObject([
    {
      workers: [],
      charges: [
        ['job', 1, 150],
        ['slow', 1, 1],
      ],
    },
  ])
  clock.advance(400)
  expect(told.slice(1)).toMatchObject([{ workers, charges: [] }])
  expect(told[1].streamed).toBeUndefined()
  announce({ type: 'coordinator', host: 'h', term: '1' })
  expect(told[2]).toMatchObject({ streamed: [['job', 1, 500]] })
  beats.close()
})
