/** A backup as a file: what was written is read, and what is damaged or cut anywhere is never taken for whole. */
import { describe, expect, it } from 'vitest'
import { decoded, encoded } from './file.ts'
import type { Part } from './parts.ts'

const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7) % 251)

async function* of<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values
}

async function all<T>(from: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const one of from) found.push(one)
  return found
}

const PARTS: readonly Part[] = [
  { section: 'a', version: 1 },
  { item: { value: { n: 1, text: 'ü' }, blob: bytes(0) } },
  { item: { value: { n: 2 }, blob: bytes(300) } },
  { section: 'b', version: 2 },
]

const plain = (parts: readonly Part[]): unknown =>
  parts.map((part) => ('item' in part ? { ...part.item, blob: Buffer.from(part.item.blob).toString('hex') } : part))

const fileOf = async (parts: readonly Part[]): Promise<Buffer> => Buffer.concat(await all(encoded(of(parts))))

describe('a backup as a file', () => {
  it('reads what was written, in chunks of any size', async () => {
    const file = await fileOf(PARTS)
    for (const size of [1, 7, 64, file.length]) {
      const chunks = Array.from({ length: Math.ceil(file.length / size) }, (_, i) =>
        file.subarray(i * size, (i + 1) * size),
      )
      expect(plain(await all(decoded(of(chunks), 'f')))).toEqual(plain(PARTS))
    }
  })

  it('is written in chunks: what is large is not gathered', async () => {
    const many = Array.from({ length: 64 }, (): Part => ({ item: { value: {}, blob: bytes(64 << 10) } }))
    const chunks = await all(encoded(of([PARTS[0], ...many])))
    expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThan(400 << 10)
    expect((await all(decoded(of(chunks), 'f'))).length).toBe(65)
  })

  it('cut anywhere, it is not whole', async () => {
    const file = await fileOf(PARTS)
    for (let length = 0; length < file.length; length++)
      await expect(all(decoded(of([file.subarray(0, length)]), 'f'))).rejects.toMatchObject({
        message: expect.stringMatching(/^f is (damaged at byte \d+, or was cut short|no backup of Sluice)/),
      })
    await expect(all(decoded(of([file, Buffer.from('x')]), 'f'))).rejects.toMatchObject({ code: 'storage_failed' })
  })

  it('with any bit flipped, it is damaged, and nothing large is waited for', async () => {
    const file = await fileOf(PARTS)
    for (let at = 0; at < file.length; at++) {
      const other = Buffer.from(file)
      other[at] ^= 1 << (at % 8)
      await expect(all(decoded(of([other]), 'f'))).rejects.toMatchObject({
        code: expect.stringMatching(/^(storage_failed|config_invalid)$/),
      })
    }
  })
})
