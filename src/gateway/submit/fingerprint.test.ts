import { expect, it } from 'vitest'
import { canonical, fingerprint } from './fingerprint.ts'

const text = (json: string): string => Buffer.from(canonical(Buffer.from(json))).toString('utf8')

it('white space outside texts and the spelling of escapes do not count', () => {
  expect(text(' { "a" :\t[ 1 ,\r\n "b c" ] } ')).toBe('{"a":[1,"b c"]}')
  for (const spelled of ['é', '\\u00e9', '\\u00E9']) expect(text(`"${spelled}"`)).toBe('"é"')
  for (const spelled of ['😀', '\\ud83d\\ude00', '\\uD83D\\uDE00']) expect(text(`"${spelled}"`)).toBe('"😀"')
  for (const spelled of ['€', '\\u20ac']) expect(text(`"${spelled}"`)).toBe('"€"')
  for (const spelled of ['\\n', '\\u000a', '\\u000A']) expect(text(`"${spelled}"`)).toBe('"\\n"')
  for (const spelled of ['\\"', '\\u0022']) expect(text(`"${spelled} x"`)).toBe('"\\" x"')
  for (const spelled of ['\\\\', '\\u005c']) expect(text(`"${spelled}"`)).toBe('"\\\\"')
  for (const spelled of ['/', '\\/', '\\u002f']) expect(text(`"${spelled}"`)).toBe('"/"')
  expect(text('"\\u0001\\uD83D x \\uDE00"')).toBe('"\\u0001\\ud83d x \\ude00"')
})

it('texts that mean something else stay apart, and it means the same to JSON', () => {
  const texts = [
    '"a b"',
    '"ab"',
    '"\\\\n"',
    '"\\n"',
    '"\\\\u00e9"',
    '"é"',
    '1',
    '1.0',
    '12345678901234567890',
    '{"b":1,"a":2}',
  ]
  expect(new Set(texts.map(text)).size).toBe(texts.length)
  for (const json of texts) expect(JSON.parse(text(json))).toEqual(JSON.parse(json))
})

it('options count by what they are, not by their order', () => {
  const body = Buffer.from('{}')
  expect(fingerprint('chat', body, { lane: 'a', pool: 'b' })).toBe(fingerprint('chat', body, { pool: 'b', lane: 'a' }))
  expect(fingerprint('chat', body, { lane: 'a' })).not.toBe(fingerprint('chat', body, { pool: 'a' }))
  expect(fingerprint('chat', body, {})).not.toBe(fingerprint('embedding', body, {}))
})
