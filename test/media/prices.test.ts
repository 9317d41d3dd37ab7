/** Images, seconds and characters in money: held before the answer, and booked by what it came to. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { JOB_KINDS } from '../../src/core/job.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from '../front/app.ts'

let app: TestApp
beforeAll(async () => {
  const price = { image: 0.04, second: 0.001, character: 0.000015 }
  app = await startTestApp(
    {},
    {
      models: [
        { name: 'demo', provider: 'demo', kinds: [...JOB_KINDS], price },
        { name: 'by-tokens', provider: 'demo', kinds: ['image'], price: { output: 1_000 } },
      ],
      tenants: [
        { name: 'paints', limits: { dollars_per_day: 0.1 } },
        { name: 'tokens', limits: { dollars_per_day: 0.2 } },
        { name: 'speaks', limits: { dollars_per_day: 0.0001 } },
        { name: 'hears', limits: { dollars_per_day: 0.3 } },
      ],
    },
  )
})
afterAll(() => app?.stop())

async function asker(tenant: string) {
  const { key } = await app.addKey(tenant)
  return async (path: string, body: object | FormData) => {
    const isForm = body instanceof FormData
    const response = await fetch(`http://127.0.0.1:${app.port}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, ...(!isForm && { 'content-type': 'application/json' }) },
      body: isForm ? body : JSON.stringify({ model: 'demo', sluice: { policy: 'reject' }, ...body }),
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    return response.status === 200
      ? 200
      : [response.status, (JSON.parse(bytes.toString()) as { error: { code: string } }).error.code]
  }
}
/** Nano-dollars of its tenant's records, in their order. */
async function booked(tenant: string): Promise<readonly unknown[]> {
  const url = `http://127.0.0.1:${app.adminPort}/admin/usage/records?tenant=${tenant}`
  const response = await fetch(url, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
  const { data } = (await response.json()) as { data: Array<{ nano_dollars: number }> }
  return data.map(({ nano_dollars: nano }) => nano).sort()
}

it('images', async () => {
  const ask = await asker('paints')
  const paint = (n: number) => ask('/v1/images/generations', { prompt: 'a lake', n })
  expect(await paint(3)).toEqual([429, 'insufficient_quota'])
  expect(await paint(2)).toBe(200)
  // Of $0.10, $0.08 are gone
  expect(await paint(1)).toEqual([429, 'insufficient_quota'])
  expect(await booked('paints')).toEqual([80_000_000])
})
it('tokens of images: what is at once does not pass a budget together', async () => {
  const ask = await asker('tokens')
  const paint = (i: number) => ask('/v1/images/generations', { model: 'by-tokens', prompt: `a lake ${i}` })
  const told = await Promise.all(Array.from({ length: 20 }, (_, i) => paint(i)))
  // Each costs $0.064 of $0.20; until lengths are known, the first one holds all of it
  expect(told.filter((each) => each === 200).length).toBe(1)
  expect(await booked('tokens')).toEqual([64_000_000])
})
it('characters', async () => {
  const ask = await asker('speaks')
  const speak = (input: string) => ask('/v1/audio/speech', { input, voice: 'alloy' })
  expect(await speak('1234567')).toEqual([429, 'insufficient_quota'])
  expect(await speak('ünö s')).toBe(200)
  expect(await speak('12')).toEqual([429, 'insufficient_quota'])
  expect(await booked('speaks')).toEqual([75_000])
})
it('seconds: as the answer tells them, else by the size of the sound', async () => {
  const ask = await asker('hears')
  const hear = (bytes: number, format: string) => {
    const form = new FormData()
    form.set('model', 'demo')
    form.set('response_format', format)
    form.set('file', new Blob([new Uint8Array(bytes)]), 'a.mp3')
    return ask('/v1/audio/transcriptions', form)
  }
  // 301 s
  expect((await hear(2_408_000, 'json')) === 200).toBe(false)
  // The demo model tells of one second there
  expect(await hear(80_000, 'verbose_json')).toBe(200)
  expect(await hear(80_000, 'json')).toBe(200)
  expect(await booked('hears')).toEqual([1_000_000, 10_000_000])
})
