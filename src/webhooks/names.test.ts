/** Names of receivers against name servers that answer, answer in part, or swallow what they are asked. */
import { createSocket, type Socket } from 'node:dgram'
import { promises as dns } from 'node:dns'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { readTarget } from './address.ts'
import { resolveBy } from './names.ts'
import { type Posted, post } from './post.ts'

const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close()
})

type Records = Readonly<Partial<Record<'A' | 'AAAA', readonly number[]>>>
const TYPES: Readonly<Record<number, keyof Records>> = { 1: 'A', 28: 'AAAA' }

/** Null: it never answers. `asked`: "A", "AAAA". */
async function nameServer(records: Records | null): Promise<{ readonly server: string; readonly asked: string[] }> {
  const socket = createSocket('udp4')
  sockets.push(socket)
  const asked: string[] = []
  socket.on('message', (query, from) => {
    const end = query.indexOf(0, 12) + 5 // of the question
    const type = TYPES[query.readUInt16BE(end - 4)]
    asked.push(type)
    if (records === null) return
    const data = records[type]
    const head = Buffer.from([query[0], query[1], 0x81, 0x80, 0, 1, 0, data === undefined ? 0 : 1, 0, 0, 0, 0])
    const record =
      data === undefined ? [] : [0xc0, 12, ...query.subarray(end - 4, end), 0, 0, 0, 0, 0, data.length, ...data]
    socket.send(Buffer.concat([head, query.subarray(12, end), Buffer.from(record)]), from.port, from.address)
  })
  await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done))
  return { server: `127.0.0.1:${(socket.address() as AddressInfo).port}`, asked }
}

const aborting = () => {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}
const turn = (): Promise<void> => new Promise((passed) => setImmediate(passed))
const V6_INSIDE = [...Array<number>(15).fill(0), 1]
const under = (kind: string): number => process.getActiveResourcesInfo().filter((each) => each === kind).length
const send = (host: string, timeoutMs: number, server?: string, stop = new AbortController()): Promise<Posted> =>
  post(
    readTarget(`https://${host}/`, []),
    {},
    '{}',
    { clock: systemClock, timeoutMs, ...(server !== undefined && { resolve: resolveBy([server]) }) },
    stop.signal,
  )

it('a name of a tenant takes none of the threads that all other connections wait for', async () => {
  const stop = new AbortController()
  const posts = Array.from({ length: 10 }, (_, n) => send(`h${n}.example.com`, 5_000, undefined, stop))
  await turn()
  const threads = under('GetAddrInfoReqWrap')
  stop.abort()
  expect(threads).toBe(0)
  for (const { kind } of await Promise.all(posts)) expect(kind).toBe('failed')
})

it('a name server that never answers costs the time of a try, and nothing after it', async () => {
  const { server, asked } = await nameServer(null)
  const posts = Array.from({ length: 20 }, (_, n) => send(`h${n}.example.com`, 1_000, server))
  await expect.poll(() => asked.length).toBeGreaterThanOrEqual(40)
  // Others resolve meanwhile
  expect((await dns.lookup('localhost')).address).toBeTruthy()
  for (const posted of await Promise.all(posts))
    expect(['Its name could not be resolved.', 'No answer within 1000 ms.']).toContain(
      (posted as { reason: string }).reason,
    )
})

it('what is asked is canceled when its try ends', async () => {
  const { server, asked } = await nameServer(null)
  const { signal, abort } = aborting()
  const addresses = resolveBy([server])('h.example.com', { isAllowed: false, timeoutMs: 600_000, signal })
  await expect.poll(() => asked.length).toBeGreaterThanOrEqual(2)
  abort()
  expect(await addresses).toEqual([])
  const passed: AbortSignal[] = []
  const resolve = async (_: string, asking: { readonly signal: AbortSignal }): Promise<never> => {
    passed.push(asking.signal)
    return new Promise(() => {})
  }
  const target = readTarget('https://h.example.com/', [])
  await post(target, {}, '{}', { clock: systemClock, timeoutMs: 50, resolve }, aborting().signal)
  expect(passed.map(({ aborted }) => aborted)).toEqual([true])
})

it('addresses of both families are looked at', async () => {
  const inside = {
    kind: 'failed',
    why: 'address',
    reason: 'Its name resolves to an address that is not on the public internet.',
  }
  for (const records of [{ A: [8, 8, 8, 8], AAAA: V6_INSIDE }, { AAAA: V6_INSIDE }, { A: [10, 0, 0, 1] }]) {
    const { server, asked } = await nameServer(records)
    expect(await send('rebind.example.com', 5_000, server)).toEqual(inside)
    expect([...asked].sort()).toEqual(['A', 'AAAA'])
  }
  const { server } = await nameServer({})
  expect(await send('none.example.com', 5_000, server)).toEqual({
    kind: 'failed',
    why: 'name',
    reason: 'Its name could not be resolved.',
  })
})

it('names of the settings are looked up by the system, each once at a time', async () => {
  const { server, asked } = await nameServer(null)
  const resolve = resolveBy([server])
  const asking = { isAllowed: true, timeoutMs: 5_000, signal: new AbortController().signal }
  const looked = [resolve('localhost', asking), resolve('localhost', asking)]
  await turn()
  expect(under('GetAddrInfoReqWrap')).toBeLessThanOrEqual(1)
  const others = Array.from({ length: 10 }, (_, n) => resolve(`a${n}.localhost`, asking).catch(() => []))
  await turn()
  expect(under('GetAddrInfoReqWrap')).toBeLessThanOrEqual(2)
  for (const addresses of await Promise.all(looked)) expect(addresses).toContain('127.0.0.1')
  await Promise.all(others)
  expect(asked).toEqual([])
})
