/** Personal data that has a form, and mostly a checksum: addresses and numbers. Names of people have none. */
import { beginsAfterEscape, chars, has, isWordAt, NONE, OPEN, type Rule, run, sequence } from './sequence.ts'

const DIGITS = chars('0-9')
const isDigitAt = (text: string, at: number): boolean => at < text.length && has(DIGITS, text.charCodeAt(at))

// ---------------------------------------------------------------- email

const LOCAL = chars('A-Za-z0-9_.+%-')
const DOMAIN = chars('A-Za-z0-9.-')
/** Of the part before the @ (RFC 5321), and of the domain: longer ones are not looked for. */
const MAX_PART = 63
const DOMAIN_NAME = /^(?:[a-z0-9]+(?:-+[a-z0-9]+)*\.)+[a-z]{2,24}$/i

const email: Rule = {
  name: 'email',
  first: chars('A-Za-z0-9_+%-'),
  walk(text, at, isOpen) {
    if (at > 0 && has(LOCAL, text.charCodeAt(at - 1)) && !beginsAfterEscape(text, at)) return NONE
    let i = at
    while (i < text.length && i - at <= MAX_PART && has(LOCAL, text.charCodeAt(i))) i++
    if (i - at > MAX_PART) return NONE
    if (i === text.length) return isOpen ? OPEN : NONE
    if (text[i] !== '@') return NONE
    const from = ++i
    while (i < text.length && i - from <= MAX_PART && has(DOMAIN, text.charCodeAt(i))) i++
    if (i - from > MAX_PART) return NONE
    if (i === text.length && isOpen) return OPEN
    while (i > from && !isWordAt(text, i - 1)) i--
    return DOMAIN_NAME.test(text.slice(from, i)) ? i : NONE
  },
}

// ---------------------------------------------------------------- numbers

const SEPARATOR = ' .-'

/** "+49 (0)30 901820": at most 15 digits (E.164), in groups. */
const international: Rule = {
  name: 'phone',
  first: chars('+'),
  walk(text, at, isOpen) {
    let digits = 0
    let end = at
    let i = at + 1
    for (; i < text.length && i - at < 32 && digits <= 15; i++) {
      const c = text[i]
      if (isDigitAt(text, i)) {
        digits++
        end = i + 1
      } else if (c === '(' || c === ')' || (SEPARATOR.includes(c) && !SEPARATOR.includes(text[i - 1]))) continue
      else break
    }
    if (i === text.length && isOpen && digits <= 15) return OPEN
    return digits >= 8 && digits <= 15 && !isWordAt(text, end) ? end : NONE
  },
}

/** As in North America: "(555) 010-9999", "555-010-9999", "555.010.9999". */
const national: readonly Rule[] = [
  sequence('phone', ['(', run('0-9', 3), ')', run(' -', 0, 1), run('0-9', 3), run(SEPARATOR, 1), run('0-9', 4)]),
  sequence('phone', [run('0-9', 3), run(SEPARATOR, 1), run('0-9', 3), run(SEPARATOR, 1), run('0-9', 4)]),
]

const ssn = sequence('ssn', [run('0-9', 3), '-', run('0-9', 2), '-', run('0-9', 4)], {
  check: (text) => !/^(?:000|666|9)|-00-|-0000$/.test(text),
})

const [MIN_CARD, MAX_CARD] = [13, 19]

/** In one piece, or in groups from the fourth digit on. */
const card: Rule = {
  name: 'card',
  first: chars('2-6'),
  walk(text, at, isOpen) {
    let digits = ''
    let end = NONE
    let i = at
    for (; i < text.length && digits.length <= MAX_CARD; i++) {
      if (isDigitAt(text, i)) {
        digits += text[i]
        const isGroup = !isWordAt(text, i + 1)
        if (isGroup && digits.length >= MIN_CARD && digits.length <= MAX_CARD && passesLuhn(digits)) end = i + 1
      } else if (digits.length < 4 || !(text[i] === ' ' || text[i] === '-') || text[i - 1] === text[i]) break
    }
    return i === text.length && isOpen && digits.length <= MAX_CARD ? OPEN : end
  },
}

/** ISO/IEC 7812-1, annex B. */
function passesLuhn(digits: string): boolean {
  let sum = 0
  for (let i = 0; i < digits.length; i++) {
    const digit = digits.charCodeAt(digits.length - 1 - i) - 48
    const twice = i % 2 === 1 ? digit * 2 : digit
    sum += twice > 9 ? twice - 9 : twice
  }
  return sum % 10 === 0
}

/** Characters of an IBAN by country (SWIFT's IBAN registry). */
const IBAN_LENGTHS: ReadonlyMap<string, number> = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ' +
    'ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 ' +
    'LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 ' +
    'PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 ' +
    'YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
)
const IBAN_CHARS = chars('A-Z0-9')

const iban: Rule = {
  name: 'iban',
  first: chars('A-Z'),
  walk(text, at, isOpen) {
    if (text.length - at < 2) return isOpen ? OPEN : NONE
    const length = IBAN_LENGTHS.get(text.slice(at, at + 2))
    if (length === undefined) return NONE
    let all = ''
    let i = at
    for (; i < text.length && all.length < length; i++) {
      const isNext = all.length === 2 || all.length === 3 ? isDigitAt(text, i) : has(IBAN_CHARS, text.charCodeAt(i))
      if (isNext) all += text[i]
      else if (all.length < 4 || text[i] !== ' ' || text[i - 1] === ' ') return NONE
    }
    if (i === text.length && isOpen) return OPEN
    return all.length === length && !isWordAt(text, i) && passesMod97(all) ? i : NONE
  },
}

/** ISO 13616: the first four characters moved to the end, letters as numbers from 10 on. */
function passesMod97(iban: string): boolean {
  let rest = 0
  for (const c of iban.slice(4) + iban.slice(0, 4)) rest = Number(`${rest}${Number.parseInt(c, 36)}`) % 97
  return rest === 1
}

const octets = [run('0-9', 1, 3), '.', run('0-9', 1, 3), '.', run('0-9', 1, 3), '.', run('0-9', 1, 3)]
const ipv4 = sequence('ip', octets, { check: (text) => text.split('.').every((octet) => Number(octet) <= 255) })

const IPV6 = chars('0-9a-fA-F:')
const MAX_IPV6 = 39
const GROUP = /^[0-9a-f]{1,4}$/i

const ipv6: Rule = {
  name: 'ip',
  first: chars('0-9a-fA-F'),
  walk(text, at, isOpen) {
    let i = at
    while (i < text.length && i - at <= MAX_IPV6 && has(IPV6, text.charCodeAt(i))) i++
    if (i - at > MAX_IPV6) return NONE
    if (i === text.length && isOpen) return OPEN
    if (text[i - 1] === ':' && text[i - 2] !== ':') i--
    return !isWordAt(text, i) && isIpv6(text.slice(at, i)) ? i : NONE
  },
}

/** A digit in it, so that no `cafe::bad` of a programming language is one. */
function isIpv6(text: string): boolean {
  if (!/\d/.test(text)) return false
  const [before, after, more] = text.split('::')
  const groups = (part: string): readonly string[] => (part === '' ? [] : part.split(':'))
  const all = [...groups(before), ...groups(after ?? '')]
  return (
    more === undefined &&
    all.every((group) => GROUP.test(group)) &&
    (after === undefined ? all.length === 8 : all.length < 8)
  )
}

/** By the names that settings use. */
export const PERSONAL = {
  email: [email],
  phone: [international, ...national],
  card: [card],
  iban: [iban],
  ssn: [ssn],
  ip: [ipv4, ipv6],
} as const satisfies Record<string, readonly Rule[]>

export type PersonalKind = keyof typeof PERSONAL
