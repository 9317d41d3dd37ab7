/** Streams and documents of hostile upstreams, each with the truth about it: for property tests. */
import fc from 'fast-check'
import { type Bytes, toBytes } from '../../../core/record.ts'

/** One event: its bytes as SSE, what it adds to which choice, and whether it ends one, the stream, or all. */
interface Piece {
  readonly text: string
  readonly choice?: number
  readonly adds?: string
  readonly finishes?: boolean
  readonly fails?: boolean
  readonly done?: boolean
}

export interface HostileStream {
  readonly bytes: Bytes
  /** The body ends in good order; else the connection breaks. */
  readonly isWhole: boolean
  readonly truth: Truth
}

export interface Truth {
  /** Is it complete, if its body ends in good order? And if it breaks off, or falls silent? */
  readonly ifWhole: boolean
  readonly ifBroken: boolean
  /** Of each choice that began. */
  readonly texts: ReadonlyMap<number, string>
}

const json = (value: unknown): string => JSON.stringify(value)
const event = (payload: string, end = '\n\n'): string => `data: ${payload}${end}`
const chunk = (index: number, delta: unknown, finish: unknown = null, more: object = {}): string =>
  json({ id: 'c1', created: 1, model: 'm', choices: [{ index, delta, finish_reason: finish }], ...more })

const lineEnds = fc.constantFrom('\n\n', '\r\n\r\n', '\r\r')
/** What upstreams put beside an answer without meaning anything by it. */
const emptyError = fc.constantFrom({}, { error: null }, { error: '' }, { error: {} }, { error: false }, { usage: null })

const noise: fc.Arbitrary<Piece> = fc
  .constantFrom(
    ': keep-alive\n\n',
    'retry: 10\n\n',
    'id: 7\n\n',
    event('{"type":"ping"}'),
    event('{"choices":null,"usage":{"prompt_tokens":1}}'),
    event('{"id":"","choices":[],"prompt_filter_results":[{}]}'),
  )
  .map((text) => ({ text }))

const failure: fc.Arbitrary<Piece> = fc
  .constantFrom(
    event('{"error":{"message":"no","code":500}}'),
    event('{"error":"no"}'),
    'event: error\ndata: {"message":"no","code":500}\n\n',
    'event: error\ndata: it broke\n\n',
    event('{"detail":"no"}'),
    event('{"code":500,"message":"no"}'),
    event('{"object":"error","message":"no"}'),
    event(chunk(0, {}, 'error')),
    event(chunk(0, { content: '' }, null, { error: { message: 'no' } })),
    '{"error":{"message":"no"}}\n',
  )
  .map((text) => ({ text, fails: true }))

const done: fc.Arbitrary<Piece> = fc
  .constantFrom('[DONE]', ' [DONE] ', '"[DONE]"', '[ DONE ]', '[done]')
  .map((text) => ({ text: event(text), done: true }))

/** One choice's events in their order: opening, texts, and mostly a reason. */
const choice = (index: number): fc.Arbitrary<Piece[]> =>
  fc
    .record({
      opening: fc.constantFrom(
        null,
        { role: 'assistant', content: '' },
        { role: 'assistant', content: null, tool_calls: [] },
      ),
      texts: fc.array(fc.tuple(fc.string({ unit: 'grapheme', maxLength: 6 }), emptyError, lineEnds), { maxLength: 5 }),
      reason: fc.oneof(
        { weight: 5, arbitrary: fc.constantFrom('stop', 'length', 'tool_calls', 'made_up') },
        { weight: 1, arbitrary: fc.constantFrom(null, '', ' ', 'null') },
      ),
      withText: fc.boolean(),
      // Some upstreams give a reason with every chunk, or too early
      early: fc.constantFrom<(i: number) => boolean>(
        () => false,
        () => false,
        () => true,
        (i) => i === 2,
      ),
    })
    .map(({ opening, texts, reason, withText, early }) => {
      const isReason = reason !== null && !['', ' ', 'null'].includes(reason)
      const pieces: Piece[] = opening === null ? [] : [{ text: event(chunk(index, opening)), choice: index, adds: '' }]
      for (const [i, [adds, more, end]] of texts.entries()) {
        const finishes = early(i)
        const text = event(chunk(index, { content: adds }, finishes ? 'stop' : null, more), end)
        pieces.push({ text, choice: index, adds, finishes })
      }
      const adds = withText ? 'end' : ''
      const delta = withText ? { content: adds } : {}
      pieces.push({ text: event(chunk(index, delta, reason)), choice: index, adds, finishes: isReason })
      return pieces
    })

/** Puts lists together so that each keeps its own order. */
function interleave(lists: readonly Piece[][], picks: readonly number[]): Piece[] {
  const rest = lists.map((list) => [...list]).filter((list) => list.length > 0)
  const all: Piece[] = []
  for (let i = 0; rest.length > 0; i++) {
    const at = (picks[i % picks.length] ?? 0) % rest.length
    all.push(rest[at].shift()!)
    if (rest[at].length === 0) rest.splice(at, 1)
  }
  return all
}

/** What a reader that is neither lenient nor strict must take from these pieces. */
function truthOf(pieces: readonly Piece[]): Truth {
  const texts = new Map<number, string>()
  const open = new Set<number>()
  const closed = new Set<number>()
  let isDone: boolean | null = null
  let goesOn = false
  for (const piece of pieces) {
    if (piece.fails === true) isDone = false
    else if (piece.done === true) isDone = texts.size > 0 && open.size === 0
    if (isDone !== null) break
    if (piece.choice === undefined) continue
    if (piece.adds !== '' && texts.has(piece.choice) && !open.has(piece.choice)) goesOn = true
    texts.set(piece.choice, (texts.get(piece.choice) ?? '') + (piece.adds ?? ''))
    if (piece.finishes === true) open.delete(piece.choice)
    else if (!closed.has(piece.choice)) open.add(piece.choice)
    if (piece.finishes === true) closed.add(piece.choice)
  }
  // Without [DONE] the reasons decide
  const isComplete = texts.size > 0 && open.size === 0
  return { ifWhole: isDone ?? isComplete, ifBroken: isDone ?? (isComplete && !goesOn), texts }
}

export const hostileStream: fc.Arbitrary<HostileStream> = fc
  .record({
    choices: fc.integer({ min: 1, max: 3 }).chain((n) => fc.tuple(...Array.from({ length: n }, (_, i) => choice(i)))),
    picks: fc.array(fc.nat(7), { minLength: 1, maxLength: 12 }),
    noise: fc.array(fc.tuple(noise, fc.nat(30)), { maxLength: 4 }),
    failure: fc.option(fc.tuple(failure, fc.nat(30)), { freq: 3, nil: null }),
    done: fc.option(done, { freq: 3, nil: null }),
    cut: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 2, nil: null }),
    isWhole: fc.boolean(),
  })
  .map(({ choices, picks, noise: between, failure: failing, done: last, cut, isWhole }) => {
    const pieces = interleave(choices, picks)
    for (const [piece, at] of between) pieces.splice(at % (pieces.length + 1), 0, piece)
    if (failing !== null) pieces.splice(failing[1] % (pieces.length + 1), 0, failing[0])
    if (last !== null) pieces.push(last)
    const all = pieces.map((piece) => toBytes(piece.text))
    const length = all.reduce((sum, text) => sum + text.length, 0)
    const end = cut === null ? length : Math.floor(cut * length)
    let at = 0
    // An event counts once its blank line is there; of CRLF the CR is enough
    const whole = pieces.filter((_, i) => {
      at += all[i].length
      return at - (all[i].endsWith('\r\n') ? 1 : 0) <= end
    })
    return {
      bytes: all.join('').slice(0, end),
      isWhole: cut === null && isWhole,
      truth: truthOf(whole),
    }
  })

/** How the bytes come: pieces of any size. */
export const splits: fc.Arbitrary<readonly number[]> = fc.array(fc.integer({ min: 1, max: 40 }), {
  minLength: 1,
  maxLength: 20,
})

export function* pieced(bytes: Bytes, sizes: readonly number[]): Generator<Bytes> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]
    yield bytes.slice(at, at + size)
    at += size
  }
}
