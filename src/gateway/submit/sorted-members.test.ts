import { expect, it } from 'vitest'
import { random } from '../../../test/random.ts'
import { canonical } from './fingerprint.ts'
import { sortedMembers } from './sorted-members.ts'

const sorted = (json: string, without: readonly string[] = []): string => {
  const bytes = Buffer.from(canonical(Buffer.from(json)))
  return Buffer.from(sortedMembers(bytes.toString('latin1'), new Set(without)), 'latin1').toString()
}

it('sorts members at every depth, and leaves items, texts and numbers as they are', () => {
  expect(sorted('{"b":[{"z":1,"a":2},3],"a":{"d":"}\\"{","c":[]}}')).toBe(
    '{"a":{"c":[],"d":"}\\"{"},"b":[{"a":2,"z":1},3]}',
  )
  expect(sorted('{"n":1.0,"m":12345678901234567891}')).toBe('{"m":12345678901234567891,"n":1.0}')
  expect(sorted('{"a":"\\\\","b":"\\\\\\"","c":{}}')).toBe('{"a":"\\\\","b":"\\\\\\"","c":{}}')
  expect(sorted('{"\\u0061":1,"ü":true,"__proto__":null}')).toBe('{"__proto__":null,"a":1,"ü":true}')
})

it('leaves out what it is told to, of the outermost object only; keeps a member that is there twice', () => {
  expect(sorted('{"user":1,"a":{"user":2},"metadata":{}}', ['user', 'metadata'])).toBe('{"a":{"user":2}}')
  expect(sorted('{"a":2,"b":0,"a":1}')).toBe('{"a":2,"a":1,"b":0}')
})

it('gives what differs only in order one text, and no two others', () => {
  const below = random(7)
  const value = (depth: number): unknown =>
    below(3) === 0 || depth > 4
      ? [null, true, 1.5, 'a"b\\', '{}', ''][below(6)]
      : below(2) === 0
        ? Array.from({ length: below(4) }, () => value(depth + 1))
        : Object.fromEntries(Array.from({ length: below(4) }, (_, i) => [`k${below(3)}${i}`, value(depth + 1)]))
  const shuffled = (of: unknown): unknown =>
    Array.isArray(of)
      ? of.map(shuffled)
      : typeof of === 'object' && of !== null
        ? Object.fromEntries(
            Object.entries(of)
              .map(([name, each]) => [below(1_000), name, shuffled(each)] as const)
              .sort(([a], [b]) => a - b)
              .map(([, name, each]) => [name, each]),
          )
        : of
  for (let i = 0; i < 2_000; i++) {
    const one = { of: value(0) }
    const text = sorted(JSON.stringify(one))
    expect(JSON.parse(text)).toEqual(one)
    expect(sorted(JSON.stringify(shuffled(one)))).toBe(text)
  }
})
