/**
 * S3: a reader that takes 1 KB a second costs a cursor. Beside it 200 fast ones, which must not notice; and in the end
 * it has everything.
 */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import WebSocket from 'ws'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { depth } from '../depth.ts'
import { type Server, startServer } from './server.ts'

const SLOW_JOBS = depth(80, 24)
const FAST_JOBS = 200
const FAST_SOCKETS = 4
const FAST_TOKENS = 100
/** What the kernel holds for a connection, both its ends, at most. */
const KERNEL_BYTES = 10 << 20

let server: Server
/** Of the fast ones: it stamps each token with our own clock. */
let upstream: MockServer
beforeAll(async () => {
  upstream = await startMock({ port: 0 })
  // Gathering comes and goes with the load; it would be most of what we measure
  server = await startServer(
    'models:\n  - { name: demo, provider: demo }\n' +
      `  - { name: "mock-*", provider: openai-compatible, base_url: "${upstream.url}/v1" }\n` +
      'stream: { gather: "off" }\nlog: { level: silent }\n',
    // A small heap is cleaned up often: its RSS is what is alive, and not what V8 had no reason to collect
    { NODE_OPTIONS: '--max-semi-space-size=2 --max-old-space-size=256' },
  )
})
afterAll(async () => {
  await server?.stop()
  await upstream?.close()
})

const submit = (id: string, content: string, more: object = {}, model = 'demo'): string =>
  JSON.stringify({ t: 'submit', id, ...more, request: { model, messages: [{ role: 'user', content }] } })
/** About 1.2 MB of frames. */
const LONG = 'Tell me. demo: tokens=4000 delay=1 ttft=1'
const rssMb = (): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) / 1024
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

const get = async (path: string): Promise<any> =>
  (await fetch(server.url + path, { headers: { authorization: `Bearer ${server.key}` } })).json()
/** All jobs have ended. */
const idle = (): Promise<void> =>
  expect.poll(async () => (await get('/v1/jobs?state=queued,leased')).data.length).toBe(0)

interface Cost {
  /** The server's RSS at most. */
  readonly mostMb: number
  /** From the upstream's write of a token to its arrival at a fast reader. */
  readonly lagP50Ms: number
  readonly lagP90Ms: number
}

/** Runs `start`, and the fast jobs beside what it started, until all is idle. */
async function beside(start: () => void): Promise<Cost> {
  let mostMb = 0
  const watching = setInterval(() => {
    mostMb = Math.max(mostMb, rssMb())
  }, 50)
  start()
  await pause(200)
  const lags = await fast()
  await idle()
  clearInterval(watching)
  return { mostMb, lagP50Ms: lags[lags.length >> 1], lagP90Ms: lags[Math.floor(lags.length * 0.9)] }
}

/** Runs the fast jobs; the lag of each of their tokens, ms, sorted. */
async function fast(): Promise<number[]> {
  const lags: number[] = []
  await Promise.all(
    Array.from({ length: FAST_SOCKETS }, async () => {
      const ws = new WebSocket(`${server.url.replace('http', 'ws')}/v1/ws`, 'sluice.v1', {
        headers: { authorization: `Bearer ${server.key}` },
      })
      await new Promise((open) => ws.once('open', open))
      let left = FAST_JOBS / FAST_SOCKETS
      await new Promise<void>((done) => {
        ws.on('message', (data: Buffer) => {
          const now = performance.now()
          const text = data.toString()
          for (const [, us] of text.matchAll(/"content":" tok\d{6}\.(\d{13})"/g)) lags.push(now - Number(us) / 1_000)
          if (text.startsWith('{"t":"end"') && --left === 0) done()
        })
        for (let i = 0; i < FAST_JOBS / FAST_SOCKETS; i++)
          ws.send(submit(`f${i}`, `Hello ${i}.`, {}, `mock-n${FAST_TOKENS}-d20-f20`))
      })
      ws.close()
    }),
  )
  expect(lags.length).toBe(FAST_JOBS * FAST_TOKENS)
  return lags.sort((a, b) => a - b)
}

interface Frame {
  readonly t: string
  readonly job: string
  readonly seq: number
  readonly e?: ReadonlyArray<{ readonly chunk?: any }>
}

interface SlowReader {
  readonly socket: Socket
  send(text: string): void
  /** One KB, if there is one. */
  take(): void
  bytes(): number
  /** Reads as fast as it can, until so many jobs have ended. */
  readToEnd(ends: number): Promise<void>
  frames(): Frame[]
}

/** A WebSocket by hand, so that nothing reads ahead of us. */
async function openSlow(): Promise<SlowReader> {
  const socket = connect({ port: Number(new URL(server.url).port), host: '127.0.0.1' })
  socket.on('error', () => {})
  socket.write(
    `GET /v1/ws HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${server.key}\r\nupgrade: websocket\r\n` +
      'connection: Upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n' +
      'sec-websocket-protocol: sluice.v1\r\n\r\n',
  )
  await new Promise((ready) => socket.once('readable', ready))
  const chunks: Buffer[] = [socket.read() as Buffer]
  return {
    socket,
    send(text) {
      const payload = Buffer.from(text)
      const head =
        payload.length < 126
          ? Buffer.from([0x81, 0x80 | payload.length])
          : Buffer.from([0x81, 0xfe, payload.length >> 8, payload.length & 255])
      socket.write(Buffer.concat([head, Buffer.alloc(4), payload])) // a mask of zeros changes nothing
    },
    take() {
      const some = socket.read(1024) as Buffer | null
      if (some !== null) chunks.push(some)
    },
    bytes: () => chunks.reduce((n, c) => n + c.length, 0),
    readToEnd: (ends) =>
      new Promise((done) => {
        let left = ends
        let tail = ''
        socket.on('data', (data: Buffer) => {
          chunks.push(data)
          const text = tail + data.toString('latin1')
          left -= text.split('"t":"end"').length - 1
          tail = text.slice(-8) // shorter than what is looked for
          if (left <= 0) done()
        })
      }),
    frames() {
      const all = Buffer.concat(chunks)
      const found: Frame[] = []
      let at = all.indexOf('\r\n\r\n') + 4
      while (at + 2 <= all.length) {
        const short = all[at + 1]
        const [length, head] =
          short < 126
            ? [short, 2]
            : short === 126
              ? [all.readUInt16BE(at + 2), 4]
              : [Number(all.readBigUInt64BE(at + 2)), 10]
        if (at + head + length > all.length) break
        if (all[at] === 0x81) found.push(JSON.parse(all.toString('utf8', at + head, at + head + length)) as Frame)
        at += head + length
      }
      return found
    },
  }
}

/** The fast ones, beside one that takes 1 KB a second. */
async function besideSlow(slow: SlowReader): Promise<Cost> {
  const taking = setInterval(() => slow.take(), 1_000)
  const cost = await beside(() => {
    for (let i = 0; i < SLOW_JOBS; i++) slow.send(submit(`s${i}`, LONG))
  })
  clearInterval(taking)
  return cost
}

const isUnharmed = (held: Cost, alone: Cost): boolean =>
  held.lagP50Ms < alone.lagP50Ms * 1.5 + 10 && held.lagP90Ms < alone.lagP90Ms * 2 + 50

it('takes 1 KB a second: its memory is bounded, the fast ones are unharmed, and it is exact', async () => {
  // The same work that nobody reads, beside the same others: what it costs without its reader
  const unread = await openSlow()
  let unreadJobs = 0
  const unreadWork = (): void => {
    for (let i = 0; i < SLOW_JOBS; i++) unread.send(submit(`u${++unreadJobs}`, LONG, { follow: false }))
  }
  // The heap grows with the first rounds, whoever reads
  await beside(unreadWork)
  await beside(unreadWork)
  const alone = await beside(unreadWork)

  const slow = await openSlow()
  const held = await besideSlow(slow)
  const heldBytes = slow.bytes()

  // Then it is let go, and reads on
  await slow.readToEnd(SLOW_JOBS)
  const frames = slow.frames()
  const ends = frames.filter((f) => f.t === 'end')
  const total = frames.reduce((n, f) => n + JSON.stringify(f).length, 0)
  slow.socket.destroy()
  process.stdout.write(
    `slow reader: ${(total / 2 ** 20).toFixed(0)} MB for it, ${(heldBytes / 1024).toFixed(0)} KB taken while ` +
      `it was slow; RSS at most ${held.mostMb.toFixed(0)} MB (unread: ${alone.mostMb.toFixed(0)} MB); token lag ` +
      `of the fast ones: p50 ${held.lagP50Ms.toFixed(0)}, p90 ${held.lagP90Ms.toFixed(0)} ms (unread: ` +
      `${alone.lagP50Ms.toFixed(0)}, ${alone.lagP90Ms.toFixed(0)} ms)\n`,
  )
  expect(ends.length).toBe(SLOW_JOBS)
  // Far more than the kernel and our buffers hold was waiting, and none of it in memory
  expect(total).toBeGreaterThan(depth(6, 2) * KERNEL_BYTES)
  expect(held.mostMb - alone.mostMb).toBeLessThan((total / 2 ** 20) * 0.4)
  for (const job of new Set(ends.map((f) => f.job))) {
    const own = frames.filter((f) => f.job === job && (f.t === 'ev' || f.t === 'end'))
    let seq = 0
    let text = ''
    for (const { seq: first, e } of own) {
      expect(first).toBe(seq + 1)
      seq += e?.length ?? 1
      for (const event of e ?? []) text += event.chunk?.choices[0]?.delta.content ?? ''
    }
    const answer = await get(`/v1/jobs/${job}/result`)
    expect(text === answer.choices[0].message.content).toBe(true)
  }
  // What harms them does so every time; other work on the machine does not, and it comes and goes
  for (let tries = 0, pair = [held, alone]; !isUnharmed(pair[0], pair[1]); tries++) {
    const [withReader, without] = pair.map(({ lagP50Ms, lagP90Ms }) => [lagP50Ms, lagP90Ms].map(Math.round))
    expect(tries, `token lag of the fast ones, p50 and p90: ${withReader} ms; unread ${without} ms`).toBeLessThan(3)
    const other = await openSlow()
    const again = await besideSlow(other)
    other.socket.destroy()
    pair = [again, await beside(unreadWork)]
  }
})
