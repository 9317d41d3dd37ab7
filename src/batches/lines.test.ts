/** Lines of a batch's file: as they were written, and what is none. */
import { expect, it } from 'vitest'
import { isBad, type LineRules, linesOf, readLine } from './lines.ts'
import { validated } from './validate.ts'

const RULES: LineRules = { endpoint: '/v1/embeddings', maxBytes: 1_000_000, limits: { maxDepth: 64, maxKeys: 1_000 } }
const line = (body: string, id = 'a'): string =>
  `{"custom_id": "${id}", "method":"POST" ,"url": "/v1/embeddings","body" : ${body} }`

async function* inChunks(text: string, bytes: number): AsyncGenerator<Buffer> {
  const all = Buffer.from(text)
  for (let at = 0; at < all.length; at += bytes) yield all.subarray(at, at + bytes)
}
const check = (text: string) => validated(inChunks(text, 100), { ...RULES, maxLines: 9 }, () => true)

it.each([1, 7, 1_000])('are read from chunks of %i bytes, without mark, blanks and their ends', async (bytes) => {
  const text = '\ufeff{"é":1}\r\n\n \t \r\n{"b": 2}  \n\ufeff{}'
  const read: Array<readonly [number, string]> = []
  for await (const one of linesOf(inChunks(text, bytes), 100)) read.push([one.line, one.bytes!.toString()])
  expect(read).toEqual([
    [1, '{"é":1}'],
    [2, ''],
    [3, ''],
    [4, '{"b": 2}'],
    [5, '\ufeff{}'],
  ])
})

it('have their request byte for byte', () => {
  const body = '{"seed": 9007199254740993,"temperature":1.0, "top_p":1e400,  "é": "\\u00e9"}'
  const read = readLine(Buffer.from(line(body)), RULES)
  expect(isBad(read) ? read : [read.customId, read.body.toString()]).toEqual(['a', body])
})

it.each([
  ['nested deeper than a request may be', `{"x": ${'['.repeat(64)}${']'.repeat(64)}}`, 'is nested deeper than 65'],
  ['nested so deep that it can not be written', `{"x": ${'['.repeat(50_000)}${']'.repeat(50_000)}}`, 'nested deeper'],
  ['of a million lists', `{"x": [${'[],'.repeat(300_000)}[]]}`, 'This line has 300'],
  ['with a member twice', '{"model":"a","model":"b"}', 'This line has "body.model" more than once.'],
])('%s are found before any runs', async (_, body, words) => {
  const { errors } = (await check(`${line('{}', 'good')}\n${line(body)}`))!
  expect(errors).toMatchObject([{ line: 2, code: 'invalid_json_line', message: expect.stringContaining(words) }])
})

it('count without those that are blank; a file of blank ones is empty', async () => {
  expect(await check(`\ufeff\n${line('{}')}\n\n  \n${line('{}', 'b')}\n`)).toEqual({ total: 2, errors: [] })
  expect((await check('\n \n'))!.errors).toMatchObject([{ code: 'empty_file', line: null }])
})
