/** The token log over Redis. */
import { afterAll, beforeAll, describe } from 'vitest'
import { conform, type Open } from '../conformance/harness.ts'
import { logCases } from '../conformance/log.ts'
import { logEngine } from './log-engine.ts'
import { NO_REDIS, RedisServer } from './server.ts'

describe.skipIf(NO_REDIS)('Redis: the token log', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start({ appendfsync: 'everysec' })
  })
  afterAll(() => server.remove())
  const open: Open = (settings) => logEngine(server.port, server.url)(settings)
  conform('log', logCases, open, {
    'the end is neither readable nor followed nor in the job before finish resolves':
      'the commit may be seen before its answer has come',
  })
})
