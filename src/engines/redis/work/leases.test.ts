/** Requests are fetched where they did not come with their lease. */
import { ReplyError } from 'ioredis'
import { expect, it } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import type { Ground } from '../bus/ground.ts'
import { Names } from '../client/names.ts'
import { fetchBodies } from './leases.ts'

/** A ground whose Redis answers MGET as `answer` does. */
const groundOf = (answer: () => Promise<Array<Buffer | null>>): Ground =>
  ({ clock: systemClock, names: new Names(), commands: { client: { mgetBuffer: answer } } }) as unknown as Ground

it('whatever Redis refuses for a while, no request counts as missing because of it', async () => {
  const refusals = ['NOPERM this user has no permissions', 'LOADING Redis is loading', 'ERR max number of clients']
  const body = Buffer.from('{}')
  const ground = groundOf(async () => {
    const refusal = refusals.shift()
    if (refusal !== undefined) throw new ReplyError(refusal)
    return [body, null]
  })
  expect(await fetchBodies(ground, ['a', 'b'], () => false)).toEqual(new Map([['a', body]]))
})
