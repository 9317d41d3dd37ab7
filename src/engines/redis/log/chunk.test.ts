import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SluiceError } from '../../../core/errors.ts'
import type { Bytes } from '../../../core/record.ts'
import { AttemptLog } from './attempt.ts'
import { type Chunk, Decoder, readChunk, readFrames, writeFrame } from './chunk.ts'

const JOB = 'job_00000000001abcdefghjkmnpqr'
const host = { touch() {}, charge() {} }

const token = (content: string): Bytes =>
  '{"id":"chatcmpl-9f8e7d6c5b4a39281706f5e4d3c2b1a0","object":"chat.completion.chunk","created":1750000000,' +
  `"model":"mock","choices":[{"index":0,"delta":{"content":"${content}"},"logprobs":null,"finish_reason":null}]}`

/** Each attempt's records, and how many go into each of its chunks. */
type Attempts = ReadonlyArray<readonly [readonly Bytes[], readonly number[]]>

/** The log as Redis has it. */
function stored(attempts: Attempts): readonly Chunk[] {
  const chunks: Bytes[] = []
  let head = 0
  for (const [attempt, [records, sizes]] of attempts.entries()) {
    const log = new AttemptLog(JOB, attempt + 1, { epoch: 1, head }, host)
    for (let at = 0, i = 0; at < records.length; i++) {
      const size = sizes[i % sizes.length]
      log.append(records.slice(at, at + size), 0, false)
      at += size
      const flight = log.depart()!
      // More comes while it is under way
      log.append(records.slice(at, at + 1), 0, false)
      at++
      chunks.push(flight.chunk)
      log.arrived(chunks.length - 1)
    }
    const last = log.depart()
    if (last !== null) chunks.push(last.chunk)
    head += records.length
  }
  return chunks.map(readChunk)
}

/** As log-read.lua and LogReader do. */
function tail(chunks: readonly Chunk[], after: number): readonly Bytes[] {
  const first = chunks.findIndex(({ firstSeq, count }) => firstSeq + count - 1 > after)
  if (first < 0) return []
  const decoder = new Decoder()
  return chunks.slice(first - chunks[first].back).flatMap((chunk) => decoder.read(chunk, after + 1))
}

const bytes = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
  maxLength: 60,
})
const record = fc.oneof(
  { weight: 5, arbitrary: bytes.map((text) => token(text.replaceAll('"', "'"))) },
  { weight: 1, arbitrary: bytes },
  { weight: 1, arbitrary: bytes.map((text) => `@attempt ${text}`) },
)
const attempt = fc.tuple(
  fc.array(record, { maxLength: 60 }),
  fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
)

describe('the chunks of a log', () => {
  test('read from any record on they are the rest of all records, however they were cut', () => {
    fc.assert(
      fc.property(fc.array(attempt, { minLength: 1, maxLength: 4 }), (attempts) => {
        const all = attempts.flatMap(([records]) => records)
        const chunks = stored(attempts)
        for (let after = 0; after <= all.length; after++) expect(tail(chunks, after)).toEqual(all.slice(after))
      }),
      { numRuns: 60 },
    )
  })

  test('a long log can be read from places that are never far', () => {
    const records = Array.from({ length: 20_000 }, (_, i) => token(`${i} ${'word'.repeat(i % 7)}`))
    const chunks = stored([[records, [3]]])
    let read = 0
    for (const [i, { back }] of chunks.entries()) {
      expect(back).toBeLessThanOrEqual(Math.min(i, 512))
      const needed = chunks.slice(i - back, i + 1).reduce((sum, { body }) => sum + body.length, 0)
      expect(needed).toBeLessThan(20 << 10)
      if (back === 0) read++
    }
    expect(read).toBeGreaterThan(10)
    // What it takes to be readable there costs little
    const encoded = chunks.reduce((sum, { body }) => sum + body.length, 0)
    expect(encoded).toBeLessThan(records.length * 40)
    for (const after of [0, 1, 7_777, 19_998]) expect(tail(chunks, after)).toEqual(records.slice(after))
  })

  test('frames come back as they were; one that is cut short is damaged', () => {
    const log = new AttemptLog(JOB, 7, { epoch: 2 ** 47 + 5, head: 2 ** 31 + 1 }, host)
    log.append([token('a'), '\xff\x00'], 0, false)
    const { chunk } = log.depart()!
    const frames = writeFrame(JOB, 7, 2 ** 32 - 1, chunk) + writeFrame('j', 1, 0, chunk)
    const heard: unknown[] = []
    readFrames(frames, (frame) => heard.push(frame))
    const expected = readChunk(chunk)
    expect(expected).toMatchObject({ isOpening: true, epoch: 2 ** 47 + 5, firstSeq: 2 ** 31 + 2, count: 2, back: 0 })
    expect(heard).toEqual([
      { job: JOB, attempt: 7, chunk: expected },
      { job: 'j', attempt: 1, chunk: expected },
    ])
    for (let length = 1; length < frames.length; length++) {
      let whole = 0
      const read = (): void => readFrames(frames.slice(0, length), () => whole++)
      if (length === frames.length / 2 + JOB.length / 2 - 0.5) expect(read).not.toThrow()
      else expect(read).toThrow(SluiceError)
      expect(whole).toBeLessThan(2)
    }
  })

  test('bytes that are no log end in job_damaged, and in nothing else', () => {
    const log = new AttemptLog(JOB, 1, { epoch: 1, head: 0 }, host)
    log.append([token('a'), token('b'), token('c')], 0, false)
    const { chunk } = log.depart()!
    fc.assert(
      fc.property(fc.integer({ min: 0, max: chunk.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, code) => {
        const changed = chunk.slice(0, at) + String.fromCharCode(code) + chunk.slice(at + 1)
        try {
          const read = readChunk(changed)
          const decoder = new Decoder()
          if (decoder.canRead(read)) expect(decoder.read(read, 1).length).toBeLessThanOrEqual(changed.length)
        } catch (error) {
          expect(error).toMatchObject({ code: 'job_damaged' })
        }
      }),
      { numRuns: 1_000 },
    )
  })
})
