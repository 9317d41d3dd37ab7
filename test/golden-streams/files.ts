/** The files of this folder, from streams.ts: what other tools read. */
import { type Expected, type Read, STREAMS } from './streams.ts'

/** A line of a recording: text, or what is no text by itself, as base64. */
const lineOf = ([ms, bytes]: Read): string =>
  JSON.stringify([ms, typeof bytes === 'string' ? bytes : { base64: Buffer.from(bytes).toString('base64') }])

export const readOf = (line: string): Read => {
  const [ms, bytes] = JSON.parse(line) as [number, string | { base64: string }]
  return [ms, typeof bytes === 'string' ? bytes : new Uint8Array(Buffer.from(bytes.base64, 'base64'))]
}

/** Contents by name. */
export function filesOf(): ReadonlyMap<string, string> {
  const files = new Map<string, string>(
    STREAMS.map(({ name, reads }) => [`${name}.sse.jsonl`, `${reads.map(lineOf).join('\n')}\n`] as const),
  )
  const expected = Object.fromEntries(
    STREAMS.map(({ name, about, expected }): [string, Expected & { about: string }] => [name, { about, ...expected }]),
  )
  return files.set('expected.json', `${JSON.stringify(expected, null, 2)}\n`)
}
