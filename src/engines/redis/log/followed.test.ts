import { describe, expect, test } from 'vitest'
import type { Bytes } from '../../../core/record.ts'
import { AttemptLog } from './attempt.ts'
import { type Chunk, readChunk } from './chunk.ts'
import { type Arrival, FollowedLog } from './followed.ts'

const JOB = 'job_00000000001abcdefghjkmnpqr'

/** One chunk for each run. */
function chunks(epoch: number, head: number, ...runs: ReadonlyArray<readonly Bytes[]>): readonly Chunk[] {
  const log = new AttemptLog(JOB, 1, { epoch, head }, { touch() {}, charge() {} })
  return runs.map((run, i) => {
    log.append(run, 0, false)
    const { chunk } = log.depart()!
    log.arrived(i)
    return readChunk(chunk)
  })
}

const arrival = (what: Chunk): Arrival => ({ epoch: what.epoch, firstSeq: what.firstSeq, count: what.count, what })

function followed(seq: number, epoch: number): { readonly log: FollowedLog; readonly heard: Bytes[] } {
  const log = new FollowedLog(JOB, 0)
  const heard: Bytes[] = []
  log.startAt(seq, epoch)
  log.add((firstSeq, records) => void heard.push(...records.map((record, i) => `${firstSeq + i} ${record}`)))
  return { log, heard }
}

describe('a followed log', () => {
  test('tells what follows, once', () => {
    const { log, heard } = followed(0, 0)
    const [a, b] = chunks(1, 0, ['a', 'b'], ['c'])
    expect([a, a, b, a, b].map((chunk) => log.take(arrival(chunk)))).toEqual(Array(5).fill('told'))
    expect(heard).toEqual(['1 a', '2 b', '3 c'])
  })

  test('tells nothing after a gap', () => {
    const { log, heard } = followed(0, 0)
    const [, b] = chunks(1, 0, ['a'], ['b'])
    expect(log.take(arrival(b))).toBe('gap')
    expect(log.take({ epoch: 1, firstSeq: 2, count: 1, what: ['b'] })).toBe('gap')
    expect([heard, log.seq]).toEqual([[], 0])
  })

  test('tells nothing of a later epoch before it was looked whether that goes on where this one was', () => {
    const { log, heard } = followed(3, 1)
    // Two records were lost, and others took their numbers
    const [next] = chunks(2, 3, ['other'])
    expect(log.take(arrival(next))).toBe('gap')
    expect(log.take({ epoch: 2, firstSeq: 4, count: 1, what: ['other'] })).toBe('gap')
    expect(heard).toEqual([])
    // It was read
    expect(log.take(arrival(next), true)).toBe('told')
    // What is late of the epoch before is not told
    expect(log.take(arrival(chunks(1, 4, ['late'])[0]))).toBe('told')
    expect(heard).toEqual(['4 other'])
  })

  test('can decode nothing with what it knew of a log that it lost', () => {
    const { log, heard } = followed(0, 0)
    const [a, b, c] = chunks(1, 0, ['a'], ['b'], ['c'])
    log.take(arrival(a))
    log.take(arrival(b))
    log.startAt(2, 1)
    expect(log.take(arrival(c))).toBe('gap')
    expect(heard).toEqual(['1 a', '2 b'])
  })
})
