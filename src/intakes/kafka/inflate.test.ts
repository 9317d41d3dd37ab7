import { gzipSync, zstdCompressSync } from 'node:zlib'
import * as kafka from '@platformatic/kafka'
import { beforeAll, expect, it } from 'vitest'
import { boundInflating, type Codec, TOO_LARGE } from './inflate.ts'

const LIMIT = 100_000
beforeAll(() => boundInflating(kafka, LIMIT))

const CODECS: readonly Codec[] = ['gzip', 'snappy', 'lz4', 'zstd']
const message = (value: string) => ({
  topic: 't',
  key: Buffer.from('k'),
  value: Buffer.from(value),
  headers: new Map(),
})

/** As they come in one fetch. */
function read(batches: ReadonlyArray<readonly string[]>, codec: Codec) {
  const all = batches.map((values) => {
    const { dynamicBuffer } = kafka.createRecordsBatch(values.map(message) as never, { compression: codec })
    return dynamicBuffer.buffer
  })
  const reader = kafka.Reader.from(Buffer.concat([Buffer.alloc(64), ...all]).subarray(64))
  return kafka.readRecordsBatches(reader).flatMap(({ records }) =>
    records.map(({ value, headers, offsetDelta }) => ({
      value: value!.toString(),
      offsetDelta,
      isTooLarge: headers.some(([name]) => name?.toString() === TOO_LARGE),
    })),
  )
}

it.each(CODECS)('%s: what is within the bound is read as it is', (codec) => {
  const values = ['one', '{"x":"é€😀"}', 'y'.repeat(50_000)]
  expect(read([values], codec)).toEqual(values.map((value, offsetDelta) => ({ value, offsetDelta, isTooLarge: false })))
})

it.each(CODECS)('%s: what is over it is passed over, record by record; what follows is read', (codec) => {
  const bomb = Array.from({ length: 3 }, () => 'x'.repeat(2_000_000))
  const all = read([['before'], bomb, ['after']], codec)
  expect(all.map(({ value, isTooLarge }) => (isTooLarge ? null : value))).toEqual(['before', null, null, null, 'after'])
  expect(all.slice(1, 4).map(({ offsetDelta }) => offsetDelta)).toEqual([0, 1, 2])
})

it('never makes what it would be', () => {
  const before = process.memoryUsage().rss
  for (const codec of ['gzip', 'zstd'] as const) {
    const bytes = Buffer.alloc(300_000_000, 0x78)
    const data = codec === 'gzip' ? gzipSync(bytes) : zstdCompressSync(bytes)
    const head = Buffer.alloc(61)
    head[16] = 2
    head.writeInt32BE(1, 57)
    const whole = Buffer.concat([head, data])
    const { length } = kafka.compressionsAlgorithms[codec].decompressSync(whole.subarray(61))
    expect(length).toBeLessThan(100)
  }
  expect(process.memoryUsage().rss - before).toBeLessThan(1_000_000_000)
})

it('fails where it can not be passed over', () => {
  expect(() => kafka.compressionsAlgorithms.zstd.decompressSync(zstdCompressSync(Buffer.alloc(1_000_000)))).toThrow(
    "can't be passed over",
  )
})
