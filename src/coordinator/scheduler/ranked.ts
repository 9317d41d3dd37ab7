/**
 * A first-in, first-out queue that can also remove anywhere, put back in front, and tell how much is ahead of a job: a
 * linked list whose jobs carry tickets, with counts per 256 tickets.
 */
const BLOCK = 256

/** What it needs of a job. The links are its own. */
export interface Rankable<E> {
  readonly job: { readonly promptTokens: number }
  ticket: number
  before: E | null
  after: E | null
}

export class Ranked<E extends Rankable<E>> {
  head: E | null = null
  tail: E | null = null
  size = 0
  promptTokens = 0
  #nextTicket = 0
  /** Block of `#jobs[0]` and `#tokens[0]`. */
  #firstBlock = 0
  readonly #jobs: number[] = []
  readonly #tokens: number[] = []

  push(entry: E): void {
    entry.ticket = this.#nextTicket++
    entry.before = this.tail
    entry.after = null
    if (this.tail === null) this.head = entry
    else this.tail.after = entry
    this.tail = entry
    this.#count(entry, 1)
  }

  unshift(entry: E): void {
    if (this.head === null) {
      this.push(entry)
      return
    }
    entry.ticket = this.head.ticket - 1
    entry.before = null
    entry.after = this.head
    this.head.before = entry
    this.head = entry
    this.#count(entry, 1)
  }

  remove(entry: E): void {
    const { before, after } = entry
    if (before === null) this.head = after
    else before.after = after
    if (after === null) this.tail = before
    else after.before = before
    entry.before = entry.after = null
    this.#count(entry, -1)
  }

  /** Jobs ahead of it, and their prompt tokens. Costs a step for each job of its block, and one for each block. */
  ahead(entry: E): { readonly jobs: number; readonly promptTokens: number } {
    const block = Math.floor(entry.ticket / BLOCK)
    let jobs = 0
    let promptTokens = 0
    for (let i = block - this.#firstBlock - 1; i >= 0; i--) {
      jobs += this.#jobs[i]
      promptTokens += this.#tokens[i]
    }
    for (let e: E | null = entry.before; e !== null && e.ticket >= block * BLOCK; e = e.before) {
      jobs++
      promptTokens += e.job.promptTokens
    }
    return { jobs, promptTokens }
  }

  #count(entry: E, sign: 1 | -1): void {
    this.size += sign
    this.promptTokens += sign * entry.job.promptTokens
    const block = Math.floor(entry.ticket / BLOCK)
    if (this.#jobs.length === 0) this.#firstBlock = block
    for (; block < this.#firstBlock; this.#firstBlock--) {
      this.#jobs.unshift(0)
      this.#tokens.unshift(0)
    }
    const i = block - this.#firstBlock
    while (this.#jobs.length <= i) {
      this.#jobs.push(0)
      this.#tokens.push(0)
    }
    this.#jobs[i] += sign
    this.#tokens[i] += sign * entry.job.promptTokens
    for (; this.#jobs[0] === 0; this.#firstBlock++) {
      this.#jobs.shift()
      this.#tokens.shift()
    }
  }
}
