/** Sizes from the heads of files, and how models count them. */
import { describe, expect, it } from 'vitest'
import type { Medium } from '../../core/ports/weights.ts'
import { imageSize } from './image-size.ts'
import { mediaTokens } from './media.ts'

const be = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => (value >>> (8 * (bytes - 1 - i))) & 0xff)
const le = (value: number, bytes: number): number[] => be(value, bytes).reverse()
const ascii = (text: string): number[] => [...Buffer.from(text, 'latin1')]
const file = (...bytes: readonly number[]): Buffer => Buffer.concat([Buffer.from(bytes), Buffer.alloc(500)])

const png = (width: number, height: number): Buffer =>
  file(...ascii('\x89PNG\r\n\x1a\n'), ...be(13, 4), ...ascii('IHDR'), ...be(width, 4), ...be(height, 4))
const gif = (width: number, height: number): Buffer => file(...ascii('GIF89a'), ...le(width, 2), ...le(height, 2))
const webp = (kind: string, ...bytes: readonly number[]): Buffer =>
  file(...ascii('RIFF'), ...le(400, 4), ...ascii('WEBP'), ...ascii(kind), ...le(300, 4), ...bytes)
/** Its segments, then the frame, of this coding. */
const jpeg = (
  width: number,
  height: number,
  segments: readonly number[] = [16],
  marker = 0xc0,
  before: readonly number[] = [],
): Buffer =>
  Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    ...segments.map((length) =>
      Buffer.from([0xff, 0xe1, ...be(length, 2), ...new Array<number>(length - 2).fill(0xff)]),
    ),
    Buffer.from(before),
    file(0xff, marker, ...be(17, 2), 8, ...be(height, 2), ...be(width, 2)),
  ])

const FILES: ReadonlyArray<readonly [string, Buffer]> = [
  ['PNG', png(640, 480)],
  ['GIF', gif(640, 480)],
  ['WebP, lossy', webp('VP8 ', 0, 0, 0, 0x9d, 0x01, 0x2a, ...le(640, 2), ...le(480, 2))],
  ['WebP, lossless', webp('VP8L', 0x2f, ...le(639 | (479 << 14), 4))],
  ['WebP, extended', webp('VP8X', 0, 0, 0, 0, ...le(639, 3), ...le(479, 3))],
  ['JPEG', jpeg(640, 480)],
  [
    'JPEG, after its Huffman tables and fill bytes',
    jpeg(640, 480, [], 0xc1, [0xff, 0xc4, 0, 8, 0, 9, 9, 9, 9, 9, 0xff, 0xff]),
  ],
  ['JPEG, progressive, after a large thumbnail', jpeg(640, 480, [16, 60_000, 4_001], 0xc2)],
]

describe.each(FILES)('%s', (_name, bytes) => {
  it.each([
    ['a data URL', 'data:image/any;base64,'],
    ['base64 alone', ''],
  ])('in %s', (_where, head) => {
    expect(imageSize(head + bytes.toString('base64'))).toEqual({ width: 640, height: 480 })
  })

  it('cut short is of no size, or of its own', () => {
    for (let length = 0; length < 40; length++)
      expect([null, 640]).toContain(imageSize(bytes.subarray(0, length).toString('base64'))?.width ?? null)
  })
})

it.each<[string, string]>([
  ['an address', 'https://example.com/a.png'],
  ['nothing', ''],
  ['no base64', 'data:image/png;base64,%%%%'],
  ['a data URL without data', 'data:image/png'],
  ['no image', Buffer.alloc(100, 'x').toString('base64')],
  ['without a width', png(0, 10).toString('base64')],
  ['a JPEG with no frame', jpeg(1, 1, new Array<number>(40).fill(4)).toString('base64')],
  [
    'a JPEG whose segments have no length',
    Buffer.from([0xff, 0xd8, ...new Array(50).fill([0xff, 0xe0, 0, 0]).flat()]).toString('base64'),
  ],
])('%s: no size', (_name, text) => {
  expect(imageSize(text)).toBe(null)
})

describe('an image as a model counts it', () => {
  const medium = (width: number, height: number, detail?: string): Medium => ({
    text: `data:image/png;base64,${png(width, height).toString('base64')}`,
    name: 'url',
    detail,
  })
  // Of OpenAI's and Anthropic's documentation, but for the names
  it.each<[string, number, number, string | undefined, number]>([
    ['gpt-4o', 1024, 1024, 'high', 765],
    ['gpt-4o', 2048, 4096, 'high', 1_105],
    ['gpt-4o', 4096, 8192, 'low', 85],
    ['gpt-4o', 512, 512, undefined, 255],
    ['gpt-4o', 1, 1, undefined, 255],
    ['gpt-4o', 8192, 1, undefined, 85 + 4 * 170],
    ['gpt-4o-mini', 1024, 1024, undefined, 2_833 + 4 * 5_667],
    ['gpt-5', 1024, 1024, undefined, 70 + 4 * 140],
    ['o3', 1024, 1024, undefined, 75 + 4 * 150],
    ['gpt-4.1-mini', 1024, 1024, undefined, Math.ceil(1_024 * 1.62)],
    ['gpt-4.1-mini', 1800, 2400, undefined, Math.ceil(1_452 * 1.62)],
    ['gpt-5-nano', 1024, 1024, 'low', Math.ceil(1_024 * 2.46)],
    ['claude-sonnet-4-5', 1000, 1000, undefined, 1_334],
    ['claude-sonnet-4-5', 8000, 8000, undefined, 1_600],
  ])('%s: %i × %i (%s)', (model, width, height, detail, tokens) => {
    expect(mediaTokens([medium(width, height, detail)], model)).toBe(tokens)
  })

  it('is a thousand tokens where its size is not known, and so is all else', () => {
    const unknown = { text: 'https://example.com/a.png', name: 'url', detail: undefined }
    expect(mediaTokens([unknown], 'gpt-4o')).toBe(1_000)
    expect(mediaTokens([{ ...unknown, detail: 'low' }], 'gpt-4o')).toBe(85)
    expect(mediaTokens([{ text: 'A'.repeat(1_000), name: 'data', detail: undefined }], 'gpt-4o')).toBe(1_000)
    expect(mediaTokens([], 'gpt-4o')).toBe(0)
  })

  it('of many, the first are looked at', () => {
    let read = 0
    const counted = {
      name: 'url',
      detail: undefined,
      get text() {
        read++
        return medium(1024, 1024).text
      },
    }
    expect(mediaTokens(new Array<Medium>(1_000).fill(counted), 'gpt-4o')).toBe(765_000)
    expect(read).toBe(16)
  })
})
