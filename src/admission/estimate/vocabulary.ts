/**
 * Counts tokens as OpenAI's o200k_base has them (byte-pair encoding), with no string made and nothing allocated for a
 * token. Libraries search the whole word again after each merge, which takes seconds for a word of 8,000 characters;
 * here a heap has the next merge, and the work is counted: in searches for a token.
 */

/** As tiktoken has it. Every character is matched by some alternative, and none takes more than linear time. */
const CONTRACTION = "(?:'(?:[sS]|[dD]|[mM]|[tT]|[lL][lL]|[vV][eE]|[rR][eE]))?"
const WORDS = new RegExp(
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+${CONTRACTION}|` +
    `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*${CONTRACTION}|` +
    '\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  'gu',
)

/** Longer words are cut: only runs without a space or a full stop are so long. */
const MAX_WORD_CHARS = 256
/** WORDS is not asked about more at a time, as it looks ahead to the end of a run. */
const MAX_PIECE_CHARS = 2_048
const MAX_BYTES = 3 * MAX_WORD_CHARS
/** A merge in the heap is its rank, then where it begins, in so many bits: below 2^31 together. */
const PLACE_BITS = 10
const SLOTS = 1 << 19
const RANK = (1 << 18) - 1
const NONE = -1
const FACTOR = 0x01000193

/** What was counted so far. */
export interface Tally {
  tokens: number
  /** Characters (UTF-16) that these tokens are. */
  chars: number
  /** Searches for a token: what counting costs is in proportion to them, and to the characters. */
  lookups: number
}

export class Vocabulary {
  #lookups = 0
  readonly #bytes: Uint8Array
  /** Where each token begins in `#bytes`; its rank is its index. */
  readonly #starts: Uint32Array
  /** By hash: rank + 1, and above it so much of the hash that most of what is no token is told without its bytes. */
  readonly #slots = new Int32Array(SLOTS)
  readonly #longest: number
  readonly #powers: Int32Array
  // Of the word that is being merged
  readonly #word = new Uint8Array(MAX_BYTES)
  /** Of its first n bytes. */
  readonly #hashes = new Int32Array(MAX_BYTES + 1)
  readonly #next = new Int32Array(MAX_BYTES + 1)
  readonly #before = new Int32Array(MAX_BYTES + 1)
  /** Of the token that the part at this byte and the one after it make; NONE: they make none. */
  readonly #merged = new Int32Array(MAX_BYTES + 1)
  readonly #heap = new Int32Array(3 * MAX_BYTES)
  #heaped = 0

  /** `data`: how many tokens there are, how long each is, by rank, and their bytes. */
  constructor(data: Uint8Array) {
    const count = new DataView(data.buffer, data.byteOffset).getUint32(0, true)
    const lengths = data.subarray(4, 4 + count)
    this.#bytes = data.subarray(4 + count)
    this.#starts = new Uint32Array(count + 1)
    const [bytes, starts, slots] = [this.#bytes, this.#starts, this.#slots]
    let longest = 0
    for (let rank = 0; rank < count; rank++) {
      starts[rank + 1] = starts[rank] + lengths[rank]
      if (lengths[rank] > longest) longest = lengths[rank]
    }
    this.#longest = longest
    this.#powers = new Int32Array(longest + 1)
    this.#powers[0] = 1
    for (let i = 1; i <= longest; i++) this.#powers[i] = Math.imul(this.#powers[i - 1], FACTOR)
    for (let rank = 0; rank < count; rank++) {
      let hash = 0
      for (let i = starts[rank]; i < starts[rank + 1]; i++) hash = (Math.imul(hash, FACTOR) + bytes[i]) | 0
      const mixed = mix(hash)
      let slot = mixed & (SLOTS - 1)
      while (slots[slot] !== 0) slot = (slot + 1) & (SLOTS - 1)
      slots[slot] = (mixed & ~RANK) | (rank + 1)
    }
  }

  /** Adds the tokens of a text. False: the lookups exceed `maxLookups`, and it stopped after a word. */
  count(text: string, tally: Tally, maxLookups = Infinity): boolean {
    for (let at = 0; at < text.length; at += MAX_PIECE_CHARS) {
      const piece = text.length <= MAX_PIECE_CHARS ? text : text.slice(at, at + MAX_PIECE_CHARS)
      if (!this.#countPiece(piece, tally, maxLookups)) return false
    }
    return true
  }

  #countPiece(text: string, tally: Tally, maxLookups: number): boolean {
    this.#lookups = tally.lookups
    WORDS.lastIndex = 0
    let from = 0
    while (this.#lookups <= maxLookups && (from < WORDS.lastIndex || WORDS.test(text))) {
      const to = Math.min(WORDS.lastIndex, from + MAX_WORD_CHARS)
      tally.tokens += this.#countWord(this.#read(text, from, to))
      from = to
    }
    tally.chars += from
    tally.lookups = this.#lookups
    return from === text.length
  }

  /** Reads a word as UTF-8; returns how many bytes it has. */
  #read(text: string, from: number, to: number): number {
    const word = this.#word
    let n = 0
    for (let i = from; i < to; i++) {
      let code = text.charCodeAt(i)
      if (code < 0x80) {
        word[n++] = code
        continue
      }
      if (code < 0x800) word[n++] = 0xc0 | (code >> 6)
      else {
        if (code >= 0xd800 && code < 0xe000) {
          const low = code < 0xdc00 && i + 1 < to ? text.charCodeAt(i + 1) : 0
          if (low >= 0xdc00 && low < 0xe000) {
            code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00)
            i++
          } else code = 0xfffd
        }
        if (code < 0x1_0000) word[n++] = 0xe0 | (code >> 12)
        else {
          word[n++] = 0xf0 | (code >> 18)
          word[n++] = 0x80 | ((code >> 12) & 0x3f)
        }
        word[n++] = 0x80 | ((code >> 6) & 0x3f)
      }
      word[n++] = 0x80 | (code & 0x3f)
    }
    return n
  }

  /** Merges the two neighbours that make the token of lowest rank, for as long as any do. */
  #countWord(length: number): number {
    const [word, hashes] = [this.#word, this.#hashes]
    for (let i = 0; i < length; i++) hashes[i + 1] = Math.imul(hashes[i], FACTOR) + word[i]
    if (length === 1 || this.#rank(0, length) !== NONE) return 1
    const [next, before, merged] = [this.#next, this.#before, this.#merged]
    this.#heaped = 0
    for (let i = 0; i < length; i++) {
      next[i] = i + 1
      before[i] = i - 1
    }
    for (let i = 0; i < length; i++) this.#pair(i, length)
    let parts = length
    while (this.#heaped > 0) {
      const top = this.#pop()
      const at = top & ((1 << PLACE_BITS) - 1)
      if (merged[at] !== top >> PLACE_BITS) continue
      const gone = next[at]
      const after = next[gone]
      next[at] = after
      if (after < length) before[after] = at
      merged[gone] = NONE
      parts--
      this.#pair(at, length)
      if (at > 0) this.#pair(before[at], length)
    }
    return parts
  }

  /** What the part at this byte and the one after it make. */
  #pair(at: number, length: number): void {
    const second = this.#next[at]
    const rank = second < length ? this.#rank(at, this.#next[second]) : NONE
    this.#merged[at] = rank
    if (rank !== NONE) this.#push((rank << PLACE_BITS) | at)
  }

  /** Of the token that these bytes of the word are. */
  #rank(from: number, to: number): number {
    const length = to - from
    if (length > this.#longest) return NONE
    this.#lookups++
    const [bytes, starts, slots, word] = [this.#bytes, this.#starts, this.#slots, this.#word]
    const mixed = mix(this.#hashes[to] - Math.imul(this.#hashes[from], this.#powers[length]))
    for (let slot = mixed & (SLOTS - 1); ; slot = (slot + 1) & (SLOTS - 1)) {
      const entry = slots[slot]
      if (entry === 0) return NONE
      if (((entry ^ mixed) & ~RANK) !== 0) continue
      const rank = (entry & RANK) - 1
      const start = starts[rank]
      if (starts[rank + 1] - start !== length) continue
      let same = 0
      while (same < length && bytes[start + same] === word[from + same]) same++
      if (same === length) return rank
    }
  }

  #push(entry: number): void {
    const heap = this.#heap
    let at = this.#heaped++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (heap[parent] <= entry) break
      heap[at] = heap[parent]
      at = parent
    }
    heap[at] = entry
  }

  #pop(): number {
    const heap = this.#heap
    const top = heap[0]
    const last = heap[--this.#heaped]
    for (let at = 0; ; ) {
      let child = 2 * at + 1
      if (child + 1 < this.#heaped && heap[child + 1] < heap[child]) child++
      if (child >= this.#heaped || heap[child] >= last) {
        heap[at] = last
        return top
      }
      heap[at] = heap[child]
      at = child
    }
  }
}

function mix(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return mixed ^ (mixed >>> 13)
}
