/** Cut, come back, miss nothing: over HTTP, across a kill -9, and across nothing at all. */
import { request } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Server, startServer } from './server.ts'

let server: Server
beforeAll(async () => {
  server = await startServer('models:\n  - { name: demo, provider: demo }\n')
})
afterAll(() => server?.stop())

const headers = (more: Record<string, string> = {}): Record<string, string> => ({
  authorization: `Bearer ${server.key}`,
  'content-type': 'application/json',
  ...more,
})

interface Event {
  id: string
  event: string
  data: string
}

/** Reads SSE until `stop` says so, the stream ends, or it breaks; then cuts the connection. */
function read(path: string, lastId: string | null, stop: (events: Event[]) => boolean): Promise<Event[]> {
  return new Promise((resolve, reject) => {
    const events: Event[] = []
    let rest = ''
    const call = request(
      `${server.url}${path}`,
      { headers: headers(lastId ? { 'last-event-id': lastId } : {}) },
      (response) => {
        if (response.statusCode === 204) return resolve([])
        if (response.statusCode !== 200) return reject(new Error(`status ${response.statusCode}`))
        response.setEncoding('utf8')
        response.on('data', (text: string) => {
          rest += text
          for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
            const lines = rest.slice(0, end).split('\n')
            rest = rest.slice(end + 2)
            const field = (name: string): string =>
              lines
                .filter((l) => l.startsWith(`${name}: `))
                .map((l) => l.slice(name.length + 2))
                .join('\n')
            events.push({ id: field('id'), event: field('event'), data: field('data') })
            if (stop(events)) {
              call.destroy()
              return resolve(events)
            }
          }
        })
        response.on('end', () => resolve(events))
        response.on('error', () => resolve(events))
      },
    )
    call.on('error', reject)
    call.end()
  })
}

async function submit(prompt: string, more: object = {}): Promise<string> {
  const response = await fetch(`${server.url}/v1/jobs`, {
    method: 'POST',
    headers: headers(),
    body: JSON.stringify({ request: { model: 'demo', messages: [{ role: 'user', content: prompt }] }, ...more }),
  })
  expect(response.status).toBe(202)
  return ((await response.json()) as { id: string }).id
}

it.each(['native', 'chat'])('a stream cut after every few events is whole in %s', async (dialect) => {
  const id = await submit('Tell me something. demo: tokens=60 delay=5 ttft=20')
  const got: Event[] = []
  for (let cuts = 0; cuts < 30; cuts++) {
    const part = await read(`/v1/jobs/${id}/events?dialect=${dialect}`, got.at(-1)?.id ?? null, (e) => e.length === 4)
    if (part.length === 0) break
    got.push(...part)
  }
  const whole = await read(`/v1/jobs/${id}/events?dialect=${dialect}`, null, () => false)
  expect(got).toEqual(whole)
  expect(got.length).toBeGreaterThan(60)
  expect(dialect === 'chat' ? got.at(-1)!.data : got.at(-1)!.event).toBe(dialect === 'chat' ? '[DONE]' : 'end')
})

it('a server killed in the middle goes on, and so does its reader', async () => {
  const id = await submit('A long one. demo: tokens=150 delay=10 ttft=20')
  const got = await read(`/v1/jobs/${id}/events`, null, (e) => e.length === 30)
  await server.crash()
  while (got.at(-1)!.event !== 'end') got.push(...(await read(`/v1/jobs/${id}/events`, got.at(-1)!.id, () => false)))
  const seqs = got.map((e) => Number(e.id.split('-')[1]))
  expect(seqs).toEqual(seqs.map((_, i) => i + 1))
  expect(got.filter((e) => e.event === 'attempt').map((e) => JSON.parse(e.data).mode)).toEqual(['first', 'continue'])
  expect(got.filter((e) => e.event === 'end')).toHaveLength(1)
  expect(JSON.parse(got.at(-1)!.data).state).toBe('done')
  expect(await read(`/v1/jobs/${id}/events`, null, () => false)).toEqual(got)
})

it('says what it can not serve', async () => {
  const id = await submit('Short. demo: tokens=5 delay=1 ttft=5')
  await read(`/v1/jobs/${id}/events`, null, () => false)
  const status = async (cursor: string): Promise<[number, string | undefined]> => {
    const response = await fetch(`${server.url}/v1/jobs/${id}/events?after=${encodeURIComponent(cursor)}`, {
      headers: headers(),
    })
    const text = await response.text()
    return [response.status, response.status >= 400 ? JSON.parse(text).error.code : undefined]
  }
  expect(await status('-1')).toEqual([400, 'cursor_invalid'])
  expect(await status('abc')).toEqual([400, 'cursor_invalid'])
  expect(await status('1-9999')).toEqual([400, 'cursor_ahead'])
  const last = (await read(`/v1/jobs/${id}/events`, null, () => false)).at(-1)!.id
  expect(await status(last)).toEqual([204, undefined])
})
