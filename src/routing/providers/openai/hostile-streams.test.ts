/** What is told as done is complete, and what is complete is told as done: whatever comes, in whatever pieces (E1). */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { depth } from '../../../../test/depth.ts'
import { manualClock } from '../../../../test/manual-clock.ts'
import { foldAnswer } from '../../../core/answer.ts'
import type { ProviderEnd } from '../../../core/ports/provider.ts'
import type { Bytes } from '../../../core/record.ts'
import type { HttpHandler } from '../http/client.ts'
import { hostileStream, pieced, splits } from '../testing/hostile.ts'
import { Call } from './call.ts'

interface Told {
  readonly end: ProviderEnd
  readonly texts: ReadonlyMap<number, unknown>
  readonly document: Bytes | null
}

/** A call whose connection is played by the test. */
function callOf(
  play: (handler: HttpHandler, isOver: () => boolean, waitMs: (ms: number) => void) => void,
  stream = true,
): Told {
  const clock = manualClock()
  const swept = new Set<{ sweep(nowMono: number): void }>()
  let handler!: HttpHandler
  let isDropped = false
  const drop = (): void => {
    isDropped = true
  }
  const exchange = { abort: drop, drain: drop, drains: false, pause() {}, resume() {}, gathers: false }
  const client = {
    sweep: { add: (one: never) => swept.add(one), delete: (one: never) => swept.delete(one) },
    request(_request: unknown, to: HttpHandler) {
      handler = to
      return exchange
    },
  }
  const records: Bytes[] = []
  let document: Bytes | null = null
  const ends: ProviderEnd[] = []
  const call = new Call(
    { client: client as never, clock, secret: null, maxAnswerBytes: 1 << 20 },
    {
      kind: 'chat',
      body: Buffer.from('{}'),
      stream,
      requestId: 'r',
      timeouts: { ttftMs: 60_000, interTokenMs: 60_000, totalMs: 600_000 },
    },
    {
      events: (payloads) => void records.push(...payloads),
      document(bytes) {
        document = bytes
      },
      end: (end) => void ends.push(end),
    },
  )
  call.send({ request: {} as never, stream, choices: 1, without: () => null })
  handler.head({ status: 200, headers: new Map() })
  play(
    handler,
    () => isDropped || ends.length > 0,
    (ms) => {
      clock.advance(ms)
      for (const one of [...swept]) one.sweep(clock.monoMs())
    },
  )
  expect(ends).toHaveLength(1)
  const { choices } = foldAnswer(records)
  return { end: ends[0], texts: new Map(choices.map((c) => [c.index, c.message['content'] ?? ''])), document }
}

it('streams, in every spelling, cut at any byte, in any pieces', () => {
  fc.assert(
    fc.property(hostileStream, splits, ({ bytes, isWhole, truth }, sizes) => {
      const { end, texts } = callOf((handler, isOver) => {
        for (const piece of pieced(bytes, sizes)) {
          if (isOver()) return
          handler.body(piece)
          if (!isOver()) handler.readDone()
        }
        if (isOver()) return
        if (isWhole) handler.end()
        else handler.fail({ kind: 'cut', detail: 'ECONNRESET' })
      })
      const isDone = isWhole ? truth.ifWhole : truth.ifBroken
      expect(end.kind).toBe(isDone ? 'done' : 'failed')
      if (isDone) expect(texts).toEqual(truth.texts)
    }),
    { numRuns: depth(3_000, 300) },
  )
})

it('the same in one piece and in single bytes', () => {
  fc.assert(
    fc.property(hostileStream, ({ bytes, isWhole }) => {
      const play = (sizes: readonly number[]): Told =>
        callOf((handler, isOver) => {
          for (const piece of pieced(bytes, sizes)) if (!isOver()) handler.body(piece)
          if (!isOver()) handler.readDone()
          if (isOver()) return
          if (isWhole) handler.end()
          else handler.fail({ kind: 'cut', detail: 'ECONNRESET' })
        })
      const [one, many] = [play([bytes.length + 1]), play([1])]
      expect(many.end.kind).toBe(one.end.kind)
      expect(many.texts).toEqual(one.texts)
    }),
    { numRuns: depth(300, 60) },
  )
})

it('a stream that falls silent is done after a grace if it was complete, and a time-out if not', () => {
  fc.assert(
    fc.property(hostileStream, ({ bytes, truth }) => {
      const { end } = callOf((handler, isOver, waitMs) => {
        handler.body(bytes)
        if (!isOver()) handler.readDone()
        if (!isOver()) waitMs(2_000)
        if (!isOver()) waitMs(60_000) // a reason beside a text
        if (!isOver()) waitMs(600_000)
      })
      expect(end.kind).toBe(truth.ifBroken ? 'done' : 'failed')
    }),
    { numRuns: depth(500, 100) },
  )
})

it('documents, cut at each byte: whole and byte for byte, however the body ends, or failed', () => {
  const document =
    '{"id":"c1","x":[1.50],"choices":[{"index":0,"message":{"role":"assistant","content":"\\u4e16 {}"},' +
    '"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
  for (let cut = 0; cut <= document.length; cut++) {
    for (const isWhole of [true, false]) {
      const told = callOf((handler) => {
        handler.body(document.slice(0, cut))
        if (isWhole) handler.end()
        else handler.fail({ kind: 'cut', detail: 'ECONNRESET' })
      }, false)
      const isComplete = cut === document.length
      expect([cut, told.end.kind]).toEqual([cut, isComplete ? 'done' : 'failed'])
      expect(told.document).toBe(isComplete ? document : null)
    }
  }
})
