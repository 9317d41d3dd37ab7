import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { StreamMeasure } from '../../src/bench/stream.ts'
import { tpotOf } from '../../src/core/measure.ts'
import { filesOf, readOf } from './files.ts'
import { type Expected, type Read, STREAMS } from './streams.ts'

/** As our reader measures it. `sentMono`: any; all is told since then. */
function measured(reads: readonly Read[], sentMono = 5_000.25): Expected {
  const stream = new StreamMeasure(sentMono)
  for (const [ms, bytes] of reads)
    stream.feed(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes, sentMono + ms)
  stream.end(sentMono + reads.at(-1)![0])
  const marks = stream.marks()
  const since = (mono: number | null): number | null => (mono === null ? null : mono - sentMono)
  const tpot = tpotOf(marks)
  return {
    first_byte_ms: since(marks.firstByteMono)!,
    first_token_ms: since(marks.firstTokenMono),
    first_output_ms: since(marks.firstOutputMono),
    last_token_ms: since(marks.lastTokenMono),
    end_ms: since(marks.endMono)!,
    tokens: marks.tokens,
    token_source: marks.tokenSource,
    first_tokens: marks.firstTokens,
    first_tokens_exact: marks.isFirstExact,
    tpot_ms: tpot,
    chunks: marks.chunks,
    chars: marks.chars,
    max_gap_ms: marks.stallMaxMs,
    complete: marks.isComplete,
    error: marks.error?.code ?? null,
  }
}

const pathOf = (name: string): string => join(import.meta.dirname, name)

describe('golden streams', () => {
  it.each(STREAMS.map(({ name, about }) => [name, about]))('%s: %s', (name) => {
    const reads = readFileSync(pathOf(`${name}.sse.jsonl`), 'utf8')
      .trimEnd()
      .split('\n')
      .map(readOf)
    const expected = (JSON.parse(readFileSync(pathOf('expected.json'), 'utf8')) as Record<string, object>)[name]
    expect({ about: STREAMS.find((stream) => stream.name === name)!.about, ...measured(reads) }).toEqual(expected)
  })

  it('are the same to a reader that gets each byte by itself, at the time of its read', () => {
    for (const { name, reads } of STREAMS) {
      const single = reads.flatMap(([ms, bytes]): Read[] => {
        const all = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes
        return [...all].map((byte): Read => [ms, Uint8Array.of(byte)])
      })
      expect([name, measured(single)]).toEqual([name, measured(reads)])
    }
  })

  it('are the files that streams.ts makes', () => {
    for (const [name, content] of filesOf()) expect([name, readFileSync(pathOf(name), 'utf8')]).toEqual([name, content])
  })
})
