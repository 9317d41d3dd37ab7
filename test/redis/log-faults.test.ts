/** The token log over Redis while connections are cut, messages are lost and Redis loses what it had. */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { FollowedLog } from '../../src/engines/redis/log/followed.ts'
import { Encoder } from '../../src/engines/shared/codec.ts'
import { depth } from '../depth.ts'
import {
  attempts,
  closed,
  dropped,
  expected,
  fenced,
  followedAt,
  gaps,
  givenToAnother,
  givenTwice,
  halfOpen,
  heldAgain,
  type LogCase,
  lost,
  repeated,
  restarted,
  stopped,
  takenAgain,
  torture,
} from './log-cases.ts'
import type { Bend } from './log-fleet.ts'
import { NO_REDIS } from './server.ts'

describe.skipIf(NO_REDIS)('Redis: the token log under faults', () => {
  test('an attempt that lost its job writes nothing', () => fenced())
  test('of one attempt that was given twice, one writes', () => givenTwice())
  test('an attempt that was lost, and given to another process under its number, writes nothing', () =>
    givenToAnother())
  test('what was stored and not answered is there once', () => repeated())
  test('messages that were lost are read from the log', () => gaps())
  test('a process that nobody hears is dropped, and follows again when it is back', () => dropped())
  test('who follows a log knows how far it went', () => followedAt())
  test('the log of a job that is submitted here is followed from its accept on', () => expected())
  test('each attempt can be read without what an earlier one knew', () => attempts())
  test('a restart of Redis that lost nothing goes unnoticed', () => restarted())
  test('history that was lost is told, and no cursor of it holds for other text', () => lost())
  test('an attempt that holds its job again, as a later one was lost, writes under cursors of its own', () =>
    heldAgain())
  test('a log that was lost is followed again where its job is taken again', () => takenAgain())
  test('a process that was stopped reads what it missed, a few logs at a time', () => stopped())
  test('a process that closes waits for nothing', () => closed())
  test('a subscription that is dead and not closed is made anew', () => halfOpen())
  for (let seed = 1; seed <= depth(8, 2); seed++)
    test(`byte-exact under random cuts (seed ${seed})`, () => torture(seed)())
})

/** The script with one place changed. */
const bent =
  (script: string, from: string, to: string): Bend =>
  (name, text) => {
    if (name !== script) return text
    expect(text).toContain(from)
    return text.replace(from, to)
  }

const { encode } = Encoder.prototype
const { take } = FollowedLog.prototype

interface Bug {
  readonly bend?: Bend
  readonly plant?: () => void
  readonly caughtBy: LogCase
}

const bugs: Readonly<Record<string, Bug>> = {
  'no fence': { bend: bent('append', 'return row and string.sub', 'return true or string.sub'), caughtBy: fenced },
  'a fence of numbers alone': {
    bend: bent('append', "'%.0f %s.', attempt, self", "'%.0f ', attempt"),
    caughtBy: givenToAnother,
  },
  'no chunk number': {
    bend: bent('append', 'if length == number + 1 then', 'if true then'),
    caughtBy: repeated,
  },
  'a repeat is known by its number alone': {
    bend: bent('append', "length - 1 > number and call('LINDEX', key, number) == chunk", 'length - 1 > number'),
    caughtBy: givenTwice,
  },
  'an attempt begins wherever the log ends': {
    bend: bent('append', 'if first ~= head + 1 then', 'if false then'),
    caughtBy: givenTwice,
  },
  'an attempt begins in an old epoch': {
    bend: bent('append', 'if is_old(i, chunk) then return', 'if false then return'),
    caughtBy: lost,
  },
  'an attempt goes on in an old epoch': {
    bend: bent('append', '~= chunk and is_old(i, chunk)', '~= chunk and false'),
    caughtBy: heldAgain,
  },
  'a restart of Redis draws no epoch': {
    bend: bent('log', 'if last == server then', 'if last then'),
    caughtBy: lost,
  },
  'a process that is not there stays a follower': {
    bend: bent('append', 'frames) == 0 then', 'frames) == -1 then'),
    caughtBy: dropped,
  },
  'a gap is ignored': {
    plant: () =>
      vi.spyOn(FollowedLog.prototype, 'take').mockImplementation(function (this: FollowedLog, arrival) {
        if (arrival.firstSeq > this.seq + 1) this.startAt(arrival.firstSeq - 1, arrival.epoch)
        return take.call(this, arrival)
      }),
    caughtBy: gaps,
  },
  'attempts share the state of the codec': {
    plant: () => {
      const shared = new Encoder()
      vi.spyOn(Encoder.prototype, 'encode').mockImplementation((record) => encode.call(shared, record))
    },
    caughtBy: attempts,
  },
}

describe.skipIf(NO_REDIS)('Redis: a planted bug in the token log', () => {
  afterEach(() => {
    vi.restoreAllMocks()
  })
  for (const [name, { bend, plant, caughtBy }] of Object.entries(bugs))
    test(`planted: ${name}`, async () => {
      plant?.()
      await expect(caughtBy({ patienceMs: 2_000, ...(bend && { bend }) })).rejects.toThrow()
    })
})
