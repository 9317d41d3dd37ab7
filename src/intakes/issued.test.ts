/** What an id tells of a job that is not stored: that it was given, to whom, and when. */
import { expect, it } from 'vitest'
import { jobOrder, systemIds } from '../core/ids.ts'
import { Envelopes } from './envelope.ts'
import { Issued } from './issued.ts'

const HOUR_MS = 3_600_000
let nowMs = 500_000 * HOUR_MS
const kept: Record<string, number> = { brief: 2 * HOUR_MS, none: 0 }
const of = (secret: string): Issued =>
  new Issued({
    envelopes: new Envelopes(Buffer.from(secret)),
    wallMs: () => nowMs,
    keptMs: (tenant) => kept[tenant] ?? Infinity,
  })
const raw = systemIds().job(4_711)

it('an id is known to each process of the store, for its tenant and its user, and to nobody else', () => {
  const [one, other, stranger] = [of('a'), of('a'), of('b')]
  const id = one.sign(raw, { tenant: 'acme', user: 'jane' })
  expect([id.length, jobOrder(id), id === raw]).toEqual([raw.length, 4_711, false])
  expect(other.mayCome(id, 'acme', null)).toBe(true)
  expect(other.mayCome(id, 'acme', 'jane')).toBe(true)
  expect(other.mayCome(id, 'acme', 'joe')).toBe(false)
  expect(other.mayCome(id, 'umbrella', null)).toBe(false)
  expect(stranger.mayCome(id, 'acme', null)).toBe(false)
  expect(other.mayCome(raw, 'acme', null)).toBe(false)
  const next = systemIds().job(4_712).slice(0, 15) + id.slice(15)
  expect(other.mayCome(next, 'acme', null)).toBe(false)
  for (const no of ['', 'job_', `${id}0`, id.slice(1)]) expect(other.mayCome(no, 'acme', null)).toBe(false)
})

it('it may come for a day, and for no longer than jobs of its tenant are kept', () => {
  const issued = of('a')
  const [day, brief, none] = ['acme', 'brief', 'none'].map((tenant) => issued.sign(raw, { tenant }))
  expect(issued.mayCome(none, 'none', null)).toBe(false)
  expect(issued.mayCome(brief, 'brief', null)).toBe(true)
  nowMs += 2 * HOUR_MS
  expect(issued.mayCome(brief, 'brief', null)).toBe(false)
  nowMs += 21 * HOUR_MS
  expect(issued.mayCome(day, 'acme', null)).toBe(true)
  nowMs += HOUR_MS
  expect(issued.mayCome(day, 'acme', null)).toBe(false)
})
