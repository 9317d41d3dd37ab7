/** When the sockets of answers that trickle are read: over real sockets. */
import type { Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { systemClock, Wheel } from '../../../core/clock.ts'
import type { Gathering, ProviderSink } from '../../../core/ports/provider.ts'
import { chunk, frame, HEAD, PATIENT, RawUpstream, sse } from '../testing/upstream.ts'

let upstream: RawUpstream
let wheel: Wheel
let gathering: Gathering | null
/** The beats so far, with what each brought. */
let beats: string[][]
let came: string[]
/** Tokens that came in other turns than a beat's, while they were read together. */
let outside: number

beforeEach(async () => {
  upstream = new RawUpstream()
  const own = new Wheel(systemClock)
  wheel = own
  gathering = null
  beats = []
  came = []
  outside = 0
  own.onBeat(() => {
    if (own !== wheel) return // of the test before
    beats.push(came)
    came = []
  })
  await upstream.start({ wheel, gathering: () => gathering })
})
afterEach(() => upstream.stop())

const TOGETHER: Gathering = { ms: 15, together: true }
const until = async (fn: () => boolean): Promise<void> => {
  while (!fn()) await new Promise((next) => setTimeout(next, 1))
}
const token = (text: string): string => frame(sse([chunk(`{"content":"${text}"}`)]))
const textIn = (payload: string): string => /"content":"(\w+)"/.exec(payload)?.[1] ?? '?'

interface Answer {
  readonly socket: Socket
  readonly ended: Promise<unknown>
}

/** An answer that trickles: from now on its reads may be gathered. */
async function begun(): Promise<Answer> {
  const end = Promise.withResolvers<unknown>()
  const sink: ProviderSink = {
    events(payloads) {
      came.push(...payloads.map(textIn))
      if (!wheel.isDueIn(0)) outside += payloads.length
    },
    document() {},
    end: end.resolve,
  }
  let asking: Socket | null = null
  upstream.answer = (socket) => {
    asking = socket
    socket.write(HEAD + token('first'), 'latin1')
  }
  const body = Buffer.from('{"model":"m","messages":[]}')
  upstream.provider.start({ kind: 'chat', body, stream: true, requestId: 'r', timeouts: PATIENT }, sink)
  await until(() => came.length > 0)
  const socket = asking!
  await new Promise((next) => setTimeout(next, 45))
  socket.write(token('second'), 'latin1')
  await until(() => came.length > 1 || beats.flat().length > 0)
  came = []
  return { socket, ended: end.promise }
}

it('together: what several answers bring between two beats is read in one turn', async () => {
  const answers = [await begun(), await begun(), await begun()]
  gathering = TOGETHER
  for (const { socket } of answers) socket.write(token('third'), 'latin1')
  await until(() => came.length + beats.flat().length === 3)
  beats = []
  came = []
  outside = 0
  let round = 0
  wheel.onBeat(() => {
    if (round++ < 10) for (const [i, { socket }] of answers.entries()) socket.write(token(`t${round}${i}`), 'latin1')
  })
  await until(() => beats.flat().length === 30)
  expect(beats.filter((beat) => beat.length > 0).map((beat) => beat.toSorted())).toEqual(
    Array.from({ length: 10 }, (_, i) => [0, 1, 2].map((answer) => `t${i + 1}${answer}`)),
  )
  expect(outside).toBe(0)
})

it('together: an answer whose tokens are rare is read when they come', async () => {
  const { socket } = await begun()
  gathering = TOGETHER
  socket.write(token('third'), 'latin1')
  await until(() => came.length === 1)
  // After three beats in vain no other is kept
  await until(() => !wheel.isDueIn(63))
  const kept = beats.length
  expect(kept).toBe(4)
  came = []
  gathering = null
  socket.write(token('fourth'), 'latin1')
  await until(() => came.length === 1)
  expect([came, beats.length]).toEqual([['fourth'], kept])
})

it('together: an end that comes while a socket is left unread is seen, and its connection is used again', async () => {
  const { socket, ended } = await begun()
  gathering = TOGETHER
  socket.write(token('third'), 'latin1')
  await until(() => came.length === 1)
  socket.write(`${frame(sse([chunk('{}', '"stop"'), '[DONE]']))}0\r\n\r\n`, 'latin1')
  expect(await ended).toEqual({ kind: 'done' })
  gathering = null
  came = []
  const next = await begun()
  expect(upstream.sockets.length).toBe(1)
  next.socket.destroy()
  expect(await next.ended).toMatchObject({ kind: 'failed' })
})

it('apart: each is left unread for itself', async () => {
  const answers = [await begun(), await begun()]
  gathering = { ms: 300, together: false }
  for (const { socket } of answers) {
    came = []
    socket.write(token('third'), 'latin1')
    await until(() => came.length === 1)
    await new Promise((next) => setTimeout(next, 25))
  }
  came = []
  beats = []
  for (const { socket } of answers) socket.write(token('a') + token('b'), 'latin1')
  await until(() => beats.flat().length === 4)
  expect(beats.filter((beat) => beat.length > 0)).toEqual([
    ['a', 'b'],
    ['a', 'b'],
  ])
})
