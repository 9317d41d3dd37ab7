/** A server that is killed (-9) while it makes a sound. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { sing } from '../../src/routing/providers/demo/media.ts'
import { type Server, startServer } from '../e2e/server.ts'

let server: Server
beforeAll(async () => {
  server = await startServer('models:\n  - { name: "demo*", provider: demo, kinds: [speech] }\n')
})
afterAll(() => server?.stop())

const input = Array.from({ length: 60 }, (_, i) => `word${i}`).join(' ')
const whole = Buffer.concat(sing(input))
const call = (path: string, body?: object, method = body === undefined ? 'GET' : 'POST') =>
  fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
const speech = { model: 'demo-d60-f1', voice: 'alloy', input }
const ended = async (id: string) =>
  (await (await call(`/v1/jobs/${id}?wait_ms=20000`)).json()) as { state: string; attempts: number; error: object }

it('its reader gets a broken connection; a job that nobody hears is made anew, in a file of its own', async () => {
  const plain = await call('/v1/audio/speech', speech)
  const heard = plain.headers.get('sluice-job')!
  const reader = plain.body!.getReader()
  const first = await reader.read()
  expect(first.value!.length).toBeGreaterThan(0)
  const { id } = (await (await call('/v1/jobs', { endpoint: '/v1/audio/speech', request: speech })).json()) as {
    id: string
  }
  const early = await call(`/v1/jobs/${id}/content`)
  const earlyReader = early.body!.getReader()
  await earlyReader.read()
  await server.crash()
  const rest = async (from: typeof reader) => {
    for (let next = await from.read(); !next.done; next = await from.read());
  }
  await expect(rest(reader)).rejects.toThrow()
  await expect(rest(earlyReader)).rejects.toThrow()
  // Heard, it can't be begun anew unheard
  expect(await ended(heard)).toMatchObject({ state: 'failed', error: { code: 'worker_lost' } })
  expect((await call(`/v1/jobs/${heard}/content`)).status).toBe(404)
  expect(await ended(id)).toMatchObject({ state: 'done', attempts: 2 })
  for (const path of ['content', 'result'])
    expect(Buffer.from(await (await call(`/v1/jobs/${id}/${path}`)).arrayBuffer()).equals(whole), path).toBe(true)
  // Of what was killed nothing is left
  const files = async () =>
    ((await (await call('/v1/files?purpose=media')).json()) as { data: Array<{ bytes: number }> }).data
  expect((await files()).map(({ bytes }) => bytes)).toEqual([whole.length])
  expect((await call(`/v1/jobs/${id}`, undefined, 'DELETE')).status).toBe(204)
  expect(await files()).toEqual([])
}, 60_000)
