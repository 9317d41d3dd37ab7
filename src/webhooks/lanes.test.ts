/** Places for tries: shares of tenants, and turns. */
import { expect, it } from 'vitest'
import { Lanes } from './lanes.ts'

const lanes = (): Lanes => new Lanes({ monoMs: () => 0 })
/** Tries to take `count` places, spread over 4 endpoints; how many it got. What got none waits. */
function fill(all: Lanes, tenant: string, count: number): number {
  let taken = 0
  for (let n = 0; n < count; n++) {
    const [event, endpoint] = [`${tenant}-${n}`, `${tenant}/${n % 4}`]
    if (all.take(event, tenant, endpoint)) taken++
    else all.wait(event, tenant, endpoint)
  }
  return taken
}

it('a tenant has 16 places; where many have something to send, as many as each other', () => {
  const all = lanes()
  expect(fill(all, 'a', 100)).toBe(16)
  for (let n = 0; n < 15; n++) expect(fill(all, `t${n}`, 20)).toBe(16)
  expect(all.running).toBe(256)
  // All places are taken: a new tenant gets the first that is free, and no other tenant before it has its share
  expect(fill(all, 'late', 20)).toBe(0)
  for (let n = 0; n < 14; n++) {
    all.free(`t${n}`, `t${n}/0`, { tookMs: 10, isFailing: false })
    expect(all.next()).toMatch(/^late-/)
    expect(all.take(`new-${n}`, `t${n}`, `t${n}/0`)).toBe(false)
    expect(all.next()).toBeNull()
  }
})

it('a place that is handed to an event is no other one`s, until it is taken or dropped', () => {
  const all = lanes()
  fill(all, 'a', 20)
  all.free('a', 'a/0', null)
  const event = all.next()!
  expect(all.take('other', 'a', 'a/0')).toBe(false)
  all.drop(event)
  const second = all.next()!
  expect(second).not.toBe(event)
  const endpoint = `a/${Number(second.split('-')[1]) % 4}`
  expect(all.take(second, 'a', endpoint)).toBe(true)
  all.drop(second)
  expect(all.running).toBe(16)
})

it('endpoints that fail have one place each, and half of their tenant`s; a sound one beside them has its own', () => {
  const all = lanes()
  const FAILING = 20
  for (let n = 0; n < FAILING; n++) {
    expect(all.take('first', 'a', `hang${n}`)).toBe(true)
    all.free('a', `hang${n}`, { tookMs: 10_000, isFailing: true })
  }
  let taken = 0
  for (let round = 0; round < 2; round++)
    for (let n = 0; n < FAILING; n++) if (all.take(`${round}-${n}`, 'a', `hang${n}`)) taken++
  expect(taken).toBe(8)
  for (let n = 0; n < 8; n++) expect(all.take(`sound-${n}`, 'a', 'sound')).toBe(true)
})

it('what is put off again is so for twice as long, and five minutes at most', () => {
  const all = lanes()
  const waits = Array.from({ length: 12 }, (_, times) => all.waitMs('a', 'one', times) / 1_000)
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
})
