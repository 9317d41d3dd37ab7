/** Who may wait for a job that this process does not know. */
import { expect, it } from 'vitest'
import { systemClock } from '../core/clock.ts'
import type { Job } from '../core/job.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import { Envelopes } from './envelope.ts'
import { Issued } from './issued.ts'
import { arriving } from './jobs.ts'
import { Published } from './published.ts'

const ID = 'job_00000000001abcdefghjkmnpqr'

const soon = (of: Promise<unknown>) => Promise.race([of, new Promise((go) => setTimeout(go, 100, 'waits'))])

it('so many wait for unknown jobs at most, beside those who look, or wait for a known one', async () => {
  const inner = { get: async () => null, places: async () => new Map() } as unknown as Jobs
  const published = new Published({ jobs: inner, clock: systemClock, isOneOfMany: true })
  const envelopes = new Envelopes(Buffer.from('secret'))
  const jobs = arriving({
    inner,
    submissions: { refuse: async (_, __, error) => ({ kind: 'refused', error }) },
    published,
    envelopes,
    issued: new Issued({ envelopes, wallMs: () => 0, keptMs: () => Infinity }),
    intakeOf: () => null,
    isOneOfMany: true,
  })
  const leaving = new AbortController()
  const wait = (id: string) => jobs.arrived!(id, 60_000, leaving.signal)
  const many = Array.from({ length: 500 }, () => wait(ID))
  expect(await wait(ID)).toBeNull()
  expect(await soon(jobs.get(ID))).toBe('waits')
  const known = ID.replace('1', '2')
  published.add({ id: known } as Job, '')
  const told = wait(known)
  expect(await soon(Promise.race([...many, told]))).toBe('waits')
  published.settle(known, { kind: 'accepted', job: { id: known } as Job, place: { position: 0, tokensAhead: 0 } })
  expect(await told).toEqual({ id: known })
  leaving.abort()
  expect(new Set(await Promise.all(many))).toEqual(new Set([null]))
  expect(await wait(ID)).toBeNull()
  published.close()
})
