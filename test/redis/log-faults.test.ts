/** The token log over Redis while connections are cut, messages are lost and Redis loses what it had. */
import { describe, test } from 'vitest'
import { attempts, dropped, fenced, gaps, givenTwice, lost, repeated, restarted, torture } from './log-cases.ts'
import { NO_REDIS } from './server.ts'

describe.skipIf(NO_REDIS)('Redis: the token log under faults', () => {
  test('an attempt that lost its job writes nothing', () => fenced())
  test('of one attempt that was given twice, one writes', () => givenTwice())
  test('what was stored and not answered is there once', () => repeated())
  test('messages that were lost are read from the log', () => gaps())
  test('a process that nobody hears is dropped, and follows again when it is back', () => dropped())
  test('each attempt can be read without what an earlier one knew', () => attempts())
  test('a restart of Redis that lost nothing goes unnoticed', () => restarted())
  test('history that was lost is told, and no cursor of it holds for other text', () => lost())
  for (const seed of [] as number[]) test(`byte-exact under random cuts: ${seed}`, () => torture(seed)())
})
