/**
 * A text that arrives in pieces, with what was found in it replaced. The end of a piece is held back as far as it may
 * be the beginning of something: nothing that is to be replaced is ever shown in part.
 */
import type { Finder, Swallow } from './finder.ts'
import { ESCAPE_CHARS } from './sequence.ts'

/** What looks for something, and what becomes of it. */
export interface Seeker {
  readonly finder: Finder
  /** What stands in its place; null: nothing of the text may follow. */
  readonly found: (text: string, rule: string) => string | null
}

interface Hit {
  readonly from: number
  readonly to: number
  readonly rule: string
  readonly seeker: Seeker
  readonly goesOn?: () => Swallow
}

/** Characters before what is undecided: they tell whether a word begins there. */
const CONTEXT = ESCAPE_CHARS
/** The end of what was swallowed, in which something else may begin: longer than any literal that rules begin with. */
const OVERLAP = 32
/** Of a text that is there as a whole, looked at at once: so its matches never are all in memory. */
const PIECE = 64 << 10

export class Redactor {
  /** Something was found after which nothing may follow. */
  blocked = false
  readonly #seekers: readonly Seeker[]
  #context = ''
  #held = ''
  #swallow: Swallow | null = null
  /** What was swallowed last. */
  #swallowed = ''
  /** How much of what is held was swallowed, and is never shown. */
  #hidden = 0

  /** `context`: the end of what was shown before. */
  constructor(seekers: readonly Seeker[], context = '') {
    this.#seekers = seekers
    this.#context = context.slice(-CONTEXT)
  }

  /** Characters that are held back. */
  get held(): number {
    return this.#held.length - this.#hidden
  }

  /** What may be shown now. */
  push(piece: string): string {
    return this.#take(piece, true)
  }

  /** The text is complete: what was left of it. It may go on nevertheless, as another text after this one. */
  end(): string {
    return this.#take('', false)
  }

  /** A text that is there as a whole. */
  whole(text: string): string {
    let shown = ''
    for (let at = 0; at < text.length && !this.blocked; at += PIECE) shown += this.push(text.slice(at, at + PIECE))
    return shown + this.end()
  }

  #take(piece: string, isOpen: boolean): string {
    if (this.blocked) return ''
    const rest = this.#afterSwallowed(piece)
    if (!isOpen) this.#swallow = null
    const text = this.#context + this.#held + rest
    const from = this.#context.length
    if (text.length === from) return ''
    /** Nothing before this is shown. */
    const visible = from + this.#hidden
    let cut = text.length
    const hits: Hit[] = []
    for (const seeker of this.#seekers) {
      const { matches, openFrom } = seeker.finder.find(text, from, isOpen)
      cut = Math.min(cut, openFrom)
      for (const match of matches) hits.push({ ...match, seeker })
    }
    if (this.#seekers.length > 1) hits.sort((a, b) => a.from - b.from || b.to - a.to)
    let shown = ''
    let at = from
    for (const { from: begin, to, rule, seeker, goesOn } of hits) {
      if (begin >= cut) break
      // A part of it was replaced already: the rest of it goes with that
      if (begin < at) {
        at = Math.max(at, to)
        continue
      }
      if (to <= visible) {
        at = to
        continue
      }
      shown += text.slice(Math.max(at, visible), Math.max(begin, visible))
      const replacement = seeker.found(text.slice(begin, to), rule)
      if (replacement === null) {
        this.blocked = true
        this.#held = ''
        return shown
      }
      shown += replacement
      at = to
      if (goesOn !== undefined) {
        this.#swallow = goesOn()
        this.#swallowed = text.slice(Math.max(begin, to - OVERLAP), to)
      }
    }
    if (at < cut) {
      // Never between the halves of a character
      if (cut < text.length && isLow(text, cut) && cut > at) cut--
      shown += text.slice(Math.max(at, visible), Math.max(cut, visible))
      at = cut
    }
    this.#context = text.slice(Math.max(0, at - CONTEXT), at)
    this.#held = text.slice(at)
    this.#hidden = Math.max(0, visible - at)
    return shown
  }

  /** Where something that was swallowed has ended, its end is looked at again: another match may have begun in it. */
  #afterSwallowed(piece: string): string {
    if (this.#swallow === null) return piece
    const n = this.#swallow(piece)
    const all = this.#swallowed + piece.slice(0, n)
    this.#swallowed = all.slice(-OVERLAP)
    if (n === piece.length) return ''
    this.#swallow = null
    this.#context = all.slice(0, -OVERLAP).slice(-CONTEXT)
    this.#held = this.#swallowed
    this.#hidden = this.#held.length
    return piece.slice(n)
  }
}

const isLow = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xdc00
