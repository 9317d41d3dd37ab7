/**
 * Rules as sequences of literals and runs of characters. Not regular expressions: walking a sequence never goes back,
 * so its time has a bound, and it can tell that a text which has just ended may go on as a match.
 */
import { type Finder, type Found, MAX_HELD, type Match, type Swallow } from './finder.ts'

/** No match begins here; one may, if the text goes on. Else the index after the match. */
export const NONE = -1
export const OPEN = -2

export interface Rule {
  readonly name: string
  /** What its matches begin with: one of these characters. */
  readonly first: Chars
  /** `at`: the beginning of a word. */
  walk(text: string, at: number, isOpen: boolean): number
  /** How matches go on that are too long to be held back, given what there is of one; absent: there are none. */
  readonly goesOn?: (begun: string) => Swallow
}

/** 1 for each of its characters, by ASCII code. */
export type Chars = Uint8Array

/** "A-Za-z0-9_": characters and ranges, ASCII. A "-" at the end is itself. */
export function chars(set: string): Chars {
  const is = new Uint8Array(128)
  for (let i = 0; i < set.length; i++) {
    const to = set[i + 1] === '-' && i + 2 < set.length ? set.charCodeAt(i + 2) : set.charCodeAt(i)
    for (let code = set.charCodeAt(i); code <= to; code++) is[code] = 1
    if (to !== set.charCodeAt(i)) i += 2
  }
  return is
}

export const has = (set: Chars, code: number): boolean => code < 128 && set[code] === 1

export interface Run {
  readonly of: Chars
  readonly min: number
  readonly max: number
}
export const run = (set: string, min: number, max = min): Run => ({ of: chars(set), min, max })

const WORD = chars('A-Za-z0-9_')
export const isWordAt = (text: string, at: number): boolean => at < text.length && has(WORD, text.charCodeAt(at))

/** In JSON that is text itself, as a tool call's arguments, a letter before a word may be part of "\n". */
const ESCAPED = chars('nrtbf')
const [BACKSLASH, PERCENT, LETTER_U, LETTER_X] = [0x5c, 0x25, 0x75, 0x78]
const HEX = chars('0-9a-fA-F')

/** Does a word begin here? */
export function beginsWord(text: string, at: number): boolean {
  if (at === 0) return true
  const before = text.charCodeAt(at - 1)
  return !has(WORD, before) || beginsAfterEscape(text, at)
}

/** Of the longest escape. */
export const ESCAPE_CHARS = 6

/** Also "\u003e", as JSON spells what HTML must not have, "\x3e" of other languages, and "%3D" of an address. */
export function beginsAfterEscape(text: string, at: number): boolean {
  if (at < 2) return false
  const [last, second] = [text.charCodeAt(at - 1), text.charCodeAt(at - 2)]
  if (second === BACKSLASH) return has(ESCAPED, last)
  if (at < 3 || !has(HEX, last) || !has(HEX, second)) return false
  const third = text.charCodeAt(at - 3)
  if (third === PERCENT) return true
  if (third === LETTER_X) return text.charCodeAt(at - 4) === BACKSLASH
  return text.charCodeAt(at - 5) === LETTER_U && text.charCodeAt(at - 6) === BACKSLASH && isHex(text, at - 4, at - 2)
}

function isHex(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (!has(HEX, text.charCodeAt(i))) return false
  return true
}

interface Options {
  /** Characters that must not stand before it. */
  readonly notAfter?: string

  /** Is a text of this form really one? */
  readonly check?: (text: string) => boolean
  /** A word may follow at once. */
  readonly within?: boolean
}

/** A run must not contain what the next part begins with, unless its length is fixed. */
export function sequence(
  name: string,
  parts: ReadonlyArray<string | Run>,
  { check, within = false, notAfter = '' }: Options = {},
): Rule {
  const [begin] = parts
  const before = chars(notAfter)
  const longest = parts.reduce((sum, part) => sum + (typeof part === 'string' ? part.length : part.max), 0)
  const all = new Uint8Array(128)
  for (const part of parts)
    if (typeof part === 'string') for (const c of part) all[c.charCodeAt(0)] = 1
    else for (let code = 0; code < all.length; code++) all[code] |= part.of[code]
  return {
    name,
    first: typeof begin === 'string' ? chars(begin[0]) : begin.of,
    ...(longest >= MAX_HELD && { goesOn: () => runOf(all) }),
    walk(text, at, isOpen) {
      if (at > 0 && has(before, text.charCodeAt(at - 1)) && !beginsAfterEscape(text, at)) return NONE
      let i = at
      for (const part of parts) {
        if (typeof part === 'string') {
          if (!text.startsWith(part, i)) return isOpen && isCutShort(part, text, i) ? OPEN : NONE
          i += part.length
          continue
        }
        const { of, min, max } = part
        const most = Math.min(text.length, i + max)
        const from = i
        while (i < most && has(of, text.charCodeAt(i))) i++
        if (isOpen && i === text.length && i - from < max) return OPEN
        if (i - from < min) return NONE
      }
      if (i === text.length && isOpen && !within) return OPEN
      if (!within && isWordAt(text, i)) return NONE
      return check === undefined || check(text.slice(at, i)) ? i : NONE
    },
  }
}

/** Does the text end in the middle of this literal? */
function isCutShort(literal: string, text: string, at: number): boolean {
  const left = text.length - at
  return left < literal.length && literal.startsWith(text.slice(at))
}

const goesOn = (rule: Rule, begun: string) => (): Swallow => rule.goesOn!(begun)

/** Swallows all characters of a set. */
const runOf =
  (set: Chars): Swallow =>
  (text) => {
    let n = 0
    while (n < text.length && has(set, text.charCodeAt(n))) n++
    return n
  }

/** Finds what any of the rules does; of those that begin at one place, the longest. */
export function ruleFinder(rules: readonly Rule[]): Finder {
  const byFirst = Array.from({ length: 128 }, (_, code) => {
    const begun = rules.filter(({ first }) => first[code] === 1)
    return begun.length === 0 ? undefined : begun
  })

  return {
    find(text, from, isOpen): Found {
      const matches: Match[] = []
      for (let at = from; at < text.length; at++) {
        const code = text.charCodeAt(at)
        const candidates = code < 128 ? byFirst[code] : undefined
        if (candidates === undefined || (has(WORD, code) && !beginsWord(text, at))) continue
        let match: Match | null = null
        for (const rule of candidates) {
          const to = rule.walk(text, at, isOpen)
          if (to === NONE) continue
          if (to !== OPEN) {
            if (match === null || to > match.to) match = { from: at, to, rule: rule.name }
          } else if (text.length - at <= MAX_HELD || rule.goesOn === undefined) return { matches, openFrom: at }
          else match = { from: at, to: text.length, rule: rule.name, goesOn: goesOn(rule, text.slice(at)) }
        }
        if (match === null) continue
        matches.push(match)
        at = match.to - 1
      }
      return { matches, openFrom: text.length }
    },
  }
}
