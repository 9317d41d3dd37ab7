import { expect, it } from 'vitest'
import type { Document, Documents } from '../core/ports/documents.ts'
import type { DeliveryRange } from '../core/ports/webhooks.ts'
import { KIND, untried } from './event.ts'
import { listed } from './listing.ts'

const TENANT = 'acme'
const ALL: DeliveryRange = { before: null, limit: 100 }

function event(id: string, atMs: number, to = 'wh_1'): Document {
  const happened = { type: 'job.done', atMs, data: { id } }
  const body = { looks: 0, createdAtMs: 0, happened, to: [untried(to, false)] } as unknown as Document['body']
  return { kind: KIND, id, tenant: TENANT, body, dueAtMs: null, expiresAtMs: null, version: 1 }
}

/** As a store lists them: by their ids. `pages`: ids of all pages, as a client follows them. */
function storeOf(events: readonly Document[], most?: number) {
  const sorted = events.toSorted((a, b) => (a.id < b.id ? 1 : -1))
  const documents: Pick<Documents, 'get' | 'list'> = {
    get: async (_, id) => events.find((one) => one.id === id) ?? null,
    list: async (_, { before = '~', limit }) => sorted.filter(({ id }) => id < before).slice(0, limit),
  }
  const parts = { documents, pause: async () => {}, ...(most !== undefined && { most }) }
  const list = (range: DeliveryRange) => listed(parts, TENANT, 'wh_1', range)
  const pages = async (limit: number) => {
    const all: string[][] = []
    for (let before: string | null = null; ; ) {
      const { deliveries, next } = await list({ before, limit })
      all.push(deliveries.map(({ id }) => id))
      if (next === null) return all
      before = next
    }
  }
  return { list, pages }
}

it('the newest event comes first, whatever ids say, and on every page', async () => {
  // Of jobs, by their acceptance; of batches, of random ids
  const jobs = [event('evt_0001', 900), event('evt_0002', 300), event('evt_0003', 400)]
  const batches = [event('evt_b7', 100), event('evt_ba', 500), event('evt_c0', 100)]
  const { pages } = storeOf([...jobs, ...batches, event('evt_d0', 2_000, 'wh_2')])
  const wanted = ['evt_0001', 'evt_ba', 'evt_0003', 'evt_0002', 'evt_c0', 'evt_b7']
  expect(await pages(100)).toEqual([wanted])
  expect(await pages(2)).toEqual([wanted.slice(0, 2), wanted.slice(2, 4), wanted.slice(4)])
})

it('of more events than it looks at for a page all come, each once', async () => {
  const ids = Array.from({ length: 23 }, (_, n) => `evt_${100 + n}`)
  const { pages } = storeOf(
    ids.map((id, n) => event(id, (n * 7) % 23)),
    10,
  )
  const all = await pages(4)
  expect(all.flat().sort()).toEqual(ids)
  expect(all.every((page) => page.length <= 4)).toBe(true)
})

it.each(['evt_gone', 'evt_2', 'x', 'evt_1.', '.'])('refuses to begin after %s', async (before) => {
  const { list } = storeOf([event('evt_1', 1), { ...event('evt_2', 2), tenant: 'other' }])
  await expect(list({ ...ALL, before })).rejects.toMatchObject({ code: 'invalid_request', param: 'after' })
})
