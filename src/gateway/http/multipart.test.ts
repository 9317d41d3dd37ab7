import { describe, expect, it } from 'vitest'
import { SluiceError } from '../../core/errors.ts'
import { boundaryOf, readForm } from './multipart.ts'

const BOUNDARY = 'x-bound'
const LIMIT = 1 << 20

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function read(body: string | Buffer, size = 7, limit = LIMIT): Promise<unknown[]> {
  const parts: unknown[] = []
  for await (const { name, fileName, type, bytes } of readForm(inChunks(Buffer.from(body), size), BOUNDARY, limit)) {
    const chunks: Uint8Array[] = []
    for await (const chunk of bytes) chunks.push(chunk)
    parts.push([name, fileName, type, Buffer.concat(chunks).toString('latin1')])
  }
  return parts
}

const part = (head: string, body: string): string => `--${BOUNDARY}\r\n${head}\r\n\r\n${body}\r\n`
const field = (name: string, body: string): string => part(`Content-Disposition: form-data; name="${name}"`, body)
const END = `--${BOUNDARY}--\r\n`

describe('multipart', () => {
  const tricky = `\r\n--x-boun\r\n-\r\r\n--x-\n--${BOUNDARY} is not at the beginning of a line\r\n`
  const whole =
    'a preamble\r\n' +
    field('purpose', 'batch') +
    part('content-disposition: form-data; name="file"; filename="a \\"b\\".jsonl"\r\nCONTENT-TYPE: a/b', tricky) +
    part(`Content-Disposition: form-data; name="f2"; filename*=UTF-8''%C3%A9.txt; filename="e.txt"`, '') +
    `${END}an epilogue`

  it('gives the same parts whatever the chunks', async () => {
    const expected = [
      ['purpose', null, null, 'batch'],
      ['file', 'a "b".jsonl', 'a/b', tricky],
      ['f2', 'é.txt', null, ''],
    ]
    for (let size = 1; size < whole.length; size += size < 60 ? 1 : 97)
      expect(await read(whole, size)).toEqual(expected)
  })

  it('goes on where a part was not read', async () => {
    const names: string[] = []
    for await (const { name } of readForm(inChunks(Buffer.from(whole), 5), BOUNDARY, LIMIT)) names.push(name)
    expect(names).toEqual(['purpose', 'file', 'f2'])
  })

  it("holds no more than a chunk and a boundary's length of a part", async () => {
    let given = 0
    async function* endless(): AsyncGenerator<Buffer> {
      yield Buffer.from(part('Content-Disposition: form-data; name="file"; filename="a"', '').slice(0, -2))
      for (;;) {
        given += 65_536
        yield Buffer.alloc(65_536, 'x')
      }
    }
    let taken = 0
    const reading = (async () => {
      for await (const { bytes } of readForm(endless(), BOUNDARY, 10 << 20))
        for await (const chunk of bytes) {
          taken += chunk.length
          expect(given - taken).toBeLessThan(65_536 + 100)
        }
    })()
    await expect(reading).rejects.toMatchObject({ code: 'body_too_large' })
    expect(taken).toBeGreaterThan(9 << 20)
  })

  it.each([
    ['no boundary at all', 'hello'],
    ['an end that never comes', field('a', 'b')],
    ['an end within a part', field('a', 'b').slice(0, -3)],
    ['an end within headers', `--${BOUNDARY}\r\nContent-Disp`],
    ['a part without a name', part('Content-Disposition: form-data', 'b') + END],
    ['a part that is none of a form', part('Content-Disposition: attachment; name="a"', 'b') + END],
    ['a header without a name', part('nothing', 'b') + END],
    ['a boundary that goes on', `--${BOUNDARY}more\r\n\r\n`],
    ['headers without end', `--${BOUNDARY}\r\n${'a: b\r\n'.repeat(3_000)}`],
    ['an encoding', part('Content-Disposition: form-data; name="a"\r\ncontent-transfer-encoding: base64', 'b') + END],
    ['too many parts', field('a', 'b').repeat(65) + END],
    ['an endless preamble', `${'x'.repeat(100_000)}\r\n${field('a', 'b')}${END}`],
    ['an endless epilogue', `${field('a', 'b')}${END}${'x'.repeat(100_000)}`],
  ])('refuses %s', async (_what, body) => {
    await expect(read(body, 997)).rejects.toMatchObject({ code: 'invalid_request' })
  })

  it('refuses a body of crumbs, and one that is too large', async () => {
    const large = Buffer.from(field('a', 'x'.repeat(40_000)) + END)
    await expect(read(large, 1)).rejects.toMatchObject({ code: 'invalid_request' })
    await expect(read(large, 1_000, 30_000)).rejects.toMatchObject({ code: 'body_too_large' })
  })

  it('takes the boundary from the type, and nothing else for a form', () => {
    expect(boundaryOf('multipart/form-data; boundary=abc')).toBe('abc')
    expect(boundaryOf('Multipart/Form-Data; charset=utf-8; Boundary="a b;c"')).toBe('a b;c')
    for (const type of [
      undefined,
      'application/json',
      'multipart/form-data',
      `multipart/form-data; boundary=${'x'.repeat(71)}`,
    ])
      expect(() => boundaryOf(type)).toThrow(SluiceError)
  })
})
