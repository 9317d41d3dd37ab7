/** Secrets in pieces: none is shown in part, and little is held back. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import { samples, seeded } from '../testing/samples.ts'
import type { Finder } from './finder.ts'
import { patternFinder } from './patterns.ts'
import { PERSONAL } from './personal.ts'
import { Redactor } from './redactor.ts'
import { SECRETS } from './secrets.ts'
import { ruleFinder } from './sequence.ts'
import { termFinder } from './terms.ts'

const secrets = ruleFinder(SECRETS)
const personal = ruleFinder(Object.values(PERSONAL).flat())

const redactor = (finder: Finder, rules: string[] = []): Redactor =>
  new Redactor([
    {
      finder,
      found(_text, rule) {
        rules.push(rule)
        return `[${rule}]`
      },
    },
  ])
const inPieces = (finder: Finder, pieces: readonly string[]): string => {
  const one = redactor(finder)
  return pieces.map((piece) => one.push(piece)).join('') + one.end()
}

describe('3,000 secrets in pieces of 1 to 7 characters', () => {
  const made = (finder: Finder) => {
    const { secrets: kinds, prose, pieces, pick } = samples(seeded(1))
    const held: number[] = []
    let [leaked, naive] = [0, 0]
    for (let i = 0; i < 3_000; i++) {
      const [rule, make] = kinds[i % kinds.length]
      const secret = make()
      const text = `${prose(6)} ${pick(['', 'key=', '"', '('])}${secret}${pick(['', '.', '"', ')', ','])} ${prose(6)}`
      const one = redactor(finder)
      let shown = ''
      let alone = ''
      for (const piece of pieces(text)) {
        shown += one.push(piece)
        held.push(one.held)
        alone += redactor(finder).whole(piece)
      }
      shown += one.end()
      // Any eight characters of it would be a part
      if (hasPart(shown, secret)) leaked++
      if (hasPart(alone, secret)) naive++
      expect(shown).toContain(`[${rule}]`)
    }
    held.sort((a, b) => a - b)
    return { leaked, naive, median: held[held.length >> 1] }
  }

  it('0 leak, where a scan of each piece leaks all; at the median 5 characters at most are held back', () => {
    const { leaked, naive, median } = made(secrets)
    expect(leaked).toBe(0)
    expect(naive).toBe(3_000)
    expect(median).toBeLessThanOrEqual(5)
  })

  it('nor with personal data looked for beside them', () => {
    const both: Finder = ruleFinder([...SECRETS, ...Object.values(PERSONAL).flat()])
    const { leaked, median } = made(both)
    expect(leaked).toBe(0)
    expect(median).toBeLessThanOrEqual(5)
  })
})

/** Is there anything of it but its beginning? */
function hasPart(shown: string, secret: string): boolean {
  for (let at = 4; at + 8 <= secret.length; at++) {
    const part = secret.slice(at, at + 8)
    if (!/^-*$|PRIVATE|BEGIN|END/.test(part) && shown.includes(part)) return true
  }
  return false
}

const DATA: ReadonlyArray<readonly [string, string]> = [
  ['email', 'joe.bloggs+x@mail.example.co.uk'],
  ['phone', '+49 (0)30 901820'],
  ['phone', '(555) 010-9999'],
  ['phone', '555-010-9999'],
  ['card', '4111 1111 1111 1111'],
  ['card', '378282246310005'],
  ['iban', 'DE89 3704 0044 0532 0130 00'],
  ['iban', 'GB82WEST12345698765432'],
  ['ssn', '078-05-1120'],
  ['ip', '192.168.10.254'],
  ['ip', '2001:db8::8a2e:370:7334'],
]

it.each(DATA)('%s: %s', (rule, text) => {
  const { pieces } = samples(seeded(3))
  for (let i = 0; i < 50; i++)
    expect(inPieces(personal, pieces(`It is ${text}, or so. AND ${text}.`))).toBe(
      `It is [${rule}], or so. AND [${rule}].`,
    )
  expect(inPieces(personal, [text])).toBe(`[${rule}]`)
})

it.each([
  'at 12:30:45 on 2026-11-26, version 1.2.3',
  'std::vector<int> a; cafe::bad',
  'order 4111 1111 1111 1112, 1234567890123',
  'No 12 34 56 78 and 3.14159265358979 (see 4)',
  'DE89 3704 0044 0532 0130 02',
  'user@localhost, @someone, a@b',
  '999.999.999.999',
  '000-12-3456',
  'call 911 or 5550109999',
])('is no personal data: %s', (text) => {
  expect(redactor(personal).whole(text)).toBe(text)
})

it.each([
  'sk-learn and sk-proj- are no keys',
  'AKIA is a beginning, AKIAIOSFODNN7EXAMPL too short',
  'eyJhbGciOiJIUzI1NiJ9 alone',
  'A file begins with -----BEGIN PRIVATE KEY----- and so on',
  '-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----',
  '"-----BEGIN PRIVATE KEY-----", 12: "-----END PRIVATE KEY-----"',
  'xghp_0123456789abcdefghijklmnopqrstuvwxyzAB',
  'ghp_short ghp_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG',
])('is no secret: %s', (text) => {
  expect(redactor(secrets).whole(text)).toBe(text)
})

it('a key without its end, and one in JSON within a text', () => {
  const { some } = samples(seeded(4))
  const body = some(400, 'ABCabc123+/')
  const escaped = `{"key":"-----BEGIN PRIVATE KEY-----\\n${body}\\n-----END PRIVATE KEY-----\\n","b":1}`
  const cut = `-----BEGIN PRIVATE KEY-----\n${body}`
  const { pieces } = samples(seeded(5))
  for (let i = 0; i < 20; i++) {
    expect(inPieces(secrets, pieces(escaped))).toBe('{"key":"[private-key]\\n","b":1}')
    expect(inPieces(secrets, pieces(cut))).toBe('[private-key]')
  }
  const token = `ghp_${some(36, 'abc123')}`
  expect(inPieces(secrets, pieces(`{"text":"line\\n${token}\\n"}`))).toBe('{"text":"line\\n[github-pat]\\n"}')
})

it.each<[string, (key: string) => string]>([
  ['JSON within JSON', (key) => JSON.stringify({ file: JSON.stringify({ key }) })],
  ['JSON within JSON within JSON', (key) => JSON.stringify([JSON.stringify([JSON.stringify([key])])])],
  ['lines that are indented', (key) => `key: |\n${key.replace(/^/gm, ' '.repeat(16))}`],
  ['lines that are indented, in JSON', (key) => JSON.stringify({ key: key.replace(/^/gm, '\t\t\t\t\t\t') })],
  ['lines that are numbered', (key) => key.replace(/^/gm, '     7\t')],
  ['lines that are numbered, in JSON', (key) => JSON.stringify(key.replace(/^/gm, '    12→'))],
  ['lines that are quoted', (key) => key.replace(/^/gm, '> ')],
  ['lines that were removed', (key) => key.replace(/^/gm, '-')],
  ['lines of a comment', (key) => JSON.stringify(key.replace(/^/gm, '   # '))],
  ['texts that are put together', (key) => key.replaceAll('\n', '\\n" +\n    "')],
  ['Windows’ lines', (key) => JSON.stringify(key.replaceAll('\n', '\r\n\r\n'))],
  ['an encrypted key', (key) => key.replace('\n', '\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A\n\n')],
])('a private key in %s', (_name, within) => {
  const { pieces, some } = samples(seeded(9))
  for (let i = 0; i < 50; i++) {
    const lines = Array.from({ length: 5 }, () => some(64, 'ABCabc123+/'))
    const text = `${within(`-----BEGIN RSA PRIVATE KEY-----\n${lines.join('\n')}\n-----END RSA PRIVATE KEY-----`)}, so`
    for (const shown of [inPieces(secrets, pieces(text)), redactor(secrets).whole(text)]) {
      expect(lines.some((line) => hasPart(shown, line))).toBe(false)
      expect(shown).toContain('[private-key]')
      expect(shown.endsWith(', so')).toBe(true)
    }
  }
})

it.each([
  ['\\u003e', '\\u003c'],
  ['\\\\u003E', '"'],
  ['?key%3D', '%26'],
  ['\\x3e', '\\x3c'],
])('a key after %s', (before, after) => {
  const { pieces } = samples(seeded(10))
  const token = 'AKIAIOSFODNN7EXAMPLE'
  for (let i = 0; i < 50; i++)
    expect(inPieces(secrets, pieces(`a ${before}${token}${after} b`))).toBe(`a ${before}[aws-access-token]${after} b`)
})

it('one that begins in the end of another, which was too long to be held back', () => {
  const { secrets: kinds, pieces, some } = samples(seeded(8))
  const [, makeKey] = kinds.find(([rule]) => rule === 'private-key')!
  const key = makeKey()
  const long = `x.eyJ${some(300, 'abcABC')}`
  for (let i = 0; i < 50; i++) {
    const shown = inPieces(secrets, pieces(`${long}${key} and more`))
    expect(hasPart(shown, key)).toBe(false)
    expect(shown.endsWith(' and more')).toBe(true)
  }
})

it('in whatever pieces a text comes, the same is shown', () => {
  const finders: readonly Finder[] = [secrets, personal, termFinder(['falcon', 'falcon nine', 'on a'])]
  const { secrets: kinds, prose } = samples(seeded(6))
  const word = fc.oneof(
    fc.constantFrom(...kinds.map(([, make]) => make())),
    fc.constantFrom(...DATA.map(([, text]) => text)),
    fc.constantFrom('falcon', 'Falcon Nine', 'falco', 'n', '😀', 'é', ' ', '\n', '\\n', '+1', '4111', prose(3)),
    fc.string({ maxLength: 12 }),
  )
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 12 }),
      fc.constantFrom(...finders),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 }),
      (words, finder, sizes) => {
        const text = words.join('')
        const pieces: string[] = []
        for (let at = 0, i = 0; at < text.length; i++) {
          const size = sizes[i % sizes.length]
          pieces.push(text.slice(at, at + size))
          at += size
        }
        const shown = inPieces(finder, pieces)
        const whole = redactor(finder).whole(text)
        // What is too long to be held back may take more with it, never less
        const isLong = /\[(?:jwt|private-key|pypi-upload-token|slack-[a-z-]*|[a-z]*-api-key)\]/.test(shown)
        if (isLong && shown !== whole) expect(shown.length).toBeLessThan(whole.length)
        else expect(shown).toBe(whole)
      },
    ),
    { numRuns: depth(20_000, 1_000) },
  )
})

it('never holds back more than 128 characters, and lets a long run of letters go', () => {
  const both = ruleFinder([...SECRETS, ...Object.values(PERSONAL).flat()])
  for (const unit of [
    'a',
    'ab.',
    'eyJ',
    'eyJ-',
    '1 ',
    '4111 ',
    'DE89 ',
    '-',
    'a@',
    '+1',
    'AKIA',
    '漢',
    '😀',
    '1.',
    'a:',
  ]) {
    const one = redactor(both)
    let shown = 0
    for (let i = 0; i < 2_000; i++) {
      shown += one.push(unit).length
      expect(one.held).toBeLessThanOrEqual(128)
    }
    expect(shown).toBeGreaterThan(0)
  }
})

it('a pattern is found over pieces as far as its window reaches', () => {
  const finder = patternFinder(['proj-[0-9]{4}', '(?i)falcon'], 16)
  const { pieces } = samples(seeded(7))
  for (let i = 0; i < 50; i++)
    expect(inPieces(finder, pieces('see proj-1234 of FALCON, proj-12'))).toBe('see [pattern-1] of [pattern-2], proj-12')
})

describe('takes time in proportion to the text', () => {
  const all = ruleFinder([...SECRETS, ...Object.values(PERSONAL).flat()])
  const patterns = patternFinder(['(a+)+$', '(x|xx)*y', '[a-z]+@[a-z]+\\.com'], 64)
  const UNITS = [
    ...['a', 'eyJ', 'eyJ-', '-eyJaaaaaaaaaaaaaa.eyJaaaaaaaaaa-', '-----BEGIN PRIVATE KEY-----AAAAAAAAAAAA', '-'],
    ...['1 ', '1111 ', '+1', 'a@', 'a.', 'a@a.', 'DE89 ', 'a:', '1.1.', '(555) ', 'AKIA', 'sk-proj-', '\\n', 'x', 'é'],
    ...['\\', '-----BEGIN PRIVATE KEY-----\\', '%3D', '\\u003e'],
    ...['sk-ant-api03-', '1234-', '12345678:A', 'SG.', 'https://hooks.slack.com/', '[EMAIL_1]'],
  ]
  it.each(UNITS)('%s', (unit) => {
    for (const [finder, size] of [
      [all, 1 << 19],
      [patterns, 1 << 18],
    ] as const) {
      /** Of the processor: others use it too. */
      const took = (chars: number): number => {
        const text = unit.repeat(Math.ceil(chars / unit.length))
        const before = process.cpuUsage()
        redactor(finder).whole(text)
        const { user } = process.cpuUsage(before)
        return user / 1_000
      }
      took(size / 8)
      let [small, large] = [Infinity, Infinity]
      // Eight times as much; sixty-four times were it quadratic. A busy machine spoils a single reading
      const isLinear = (): boolean => large / Math.max(small, 1) < 32
      for (let tries = 0; tries < 6 && !isLinear(); tries++) {
        small = Math.min(small, took(size / 8), took(size / 8), took(size / 8))
        large = Math.min(large, took(size), took(size))
      }
      expect(isLinear(), `${large} ms of ${small} ms`).toBe(true)
    }
  })
})
