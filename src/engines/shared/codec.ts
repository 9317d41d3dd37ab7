/**
 * What the chunks of one answer share is stored once. A template is a prefix, an inner part and a suffix; a record
 * that fits stores only what is between them. Templates are learned from consecutive records and are written to the
 * encoded text where they were learned, so that it describes itself; they are never redefined, so that a reader may
 * start at any piece with all of them.
 *
 * Encoded: a sequence of
 *   0, text                                   a record as it is
 *   1, id, text prefix, text inner, text suffix   a template
 *   id (2-255), text[, text]                  a record: what is between (two texts where there is an inner part)
 * with text = length as varint (7 bits a byte, low first), bytes.
 */
import { type Bytes, copyOf, kindOf } from '../../core/record.ts'

export interface Template {
  readonly id: number
  readonly prefix: Bytes
  readonly inner: Bytes
  readonly suffix: Bytes
}

const LITERAL = 0
const DEFINE = 1
const FIRST_ID = 2
const LAST_ID = 255
/** A template must share more than it costs. */
const MIN_SHARED = 32
const MIN_INNER = 12
const MIN_PREFIX = 8
/** Middles this short are not worth a search for an inner part. */
const MIN_SEARCHED = 26
/** A better template must save this much with every record. */
const MIN_GAIN = 8
/** Longest middle that is searched for an inner part, and quotes of it at which one may begin. */
const MAX_SEARCHED = 512
const MAX_QUOTES = 24
const QUOTE = 0x22
/** Longest record that templates are learned from: a longer one is compared character by character for nothing. */
const MAX_LEARNED = 64 << 10
/** Uses of a template after which a better one is looked for: the first ones were learned from an opening chunk. */
const SECOND_LOOK = 2
const LAST_LOOK = 16

const CHARS: readonly Bytes[] = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))

/** Length as varint. */
export function varint(n: number): Bytes {
  if (n < 128) return CHARS[n]
  let out = ''
  while (n >= 128) {
    out += CHARS[(n & 127) | 128]
    n = Math.floor(n / 128)
  }
  return out + CHARS[n]
}

const text = (bytes: Bytes): Bytes => varint(bytes.length) + bytes

/** Encodes one log's records in order; the results, joined, are the encoded log. */
export class Encoder {
  readonly templates: Template[] = []
  #last: Template | null = null
  #uses = 0
  /** Kept only where the next record may learn from it. */
  #previous: Bytes = ''

  encode(record: Bytes): Bytes {
    const last = this.#last
    if (last !== null) {
      const encoded = express(last, record)
      if (encoded !== '') {
        const uses = ++this.#uses
        return uses <= LAST_LOOK ? this.#look(last, record, encoded, uses) : encoded
      }
    }
    return this.#search(record)
  }

  /** Forgets its templates: what follows can be read without what came before. */
  reset(): void {
    this.templates.length = 0
    this.#last = null
    this.#previous = ''
  }

  /** Its templates as they were defined: what follows can be read without what came before this. */
  definitions(): Bytes {
    return this.templates.map(defined).join('')
  }

  #look(last: Template, record: Bytes, encoded: Bytes, uses: number): Bytes {
    if (uses === SECOND_LOOK || uses === LAST_LOOK) {
      const better = this.#learn(record)
      this.#previous = ''
      if (better !== null && shared(better) >= shared(last) + MIN_GAIN)
        return this.#define(better) + express(better, record)
    } else if (uses === SECOND_LOOK - 1 || uses === LAST_LOOK - 1)
      this.#previous = record.length <= MAX_LEARNED ? copyOf(record) : ''
    return encoded
  }

  #search(record: Bytes): Bytes {
    const { templates } = this
    for (let i = templates.length - 1; i >= 0; i--) {
      const encoded = express(templates[i], record)
      if (encoded !== '') {
        this.#last = templates[i]
        this.#uses = LAST_LOOK
        return encoded
      }
    }
    const kind = kindOf(record)
    // A control record is like none of its neighbors; of a document, a copy to learn from would be the whole answer
    if (kind !== 'chunk' && kind !== 'usage') return CHARS[LITERAL] + text(record)
    const learned = this.#learn(record)
    this.#previous = ''
    if (learned !== null) return this.#define(learned) + express(learned, record)
    if (record.length <= MAX_LEARNED) this.#previous = copyOf(record)
    return CHARS[LITERAL] + text(record)
  }

  #learn(record: Bytes): Template | null {
    const id = FIRST_ID + this.templates.length
    return this.#previous === '' || id > LAST_ID || record.length > MAX_LEARNED
      ? null
      : learn(id, this.#previous, record)
  }

  #define(template: Template): Bytes {
    this.templates.push(template)
    this.#last = template
    this.#uses = 0
    return defined(template)
  }
}

const defined = ({ id, prefix, inner, suffix }: Template): Bytes =>
  CHARS[DEFINE] + CHARS[id] + text(prefix) + text(inner) + text(suffix)

const shared = (t: Template): number => t.prefix.length + t.inner.length + t.suffix.length

/**
 * The record encoded by this template; empty when it does not fit. Comparing slices is twice as fast as startsWith and
 * endsWith.
 */
function express(t: Template, record: Bytes): Bytes {
  const start = t.prefix.length
  const end = record.length - t.suffix.length
  if (end < start || record.slice(0, start) !== t.prefix || record.slice(end) !== t.suffix) return ''
  if (t.inner === '') return CHARS[t.id] + varint(end - start) + record.slice(start, end)
  const at = record.indexOf(t.inner, start)
  const behind = at + t.inner.length
  if (at < 0 || behind > end) return ''
  return CHARS[t.id] + varint(at - start) + record.slice(start, at) + varint(end - behind) + record.slice(behind, end)
}

/**
 * What two records share, cut at quotes, so that a template keeps no letters of a single token. Null when it is
 * too little.
 */
function learn(id: number, a: Bytes, b: Bytes): Template | null {
  if (a === b) return null
  const most = Math.min(a.length, b.length)
  let p = 0
  while (p < most && a.charCodeAt(p) === b.charCodeAt(p)) p++
  let s = 0
  while (s < most - p && a.charCodeAt(a.length - 1 - s) === b.charCodeAt(b.length - 1 - s)) s++
  const start = p === 0 ? 0 : b.lastIndexOf('"', p - 1) + 1
  // Chunks of one answer begin alike; others are of another kind
  if (start < MIN_PREFIX) return null
  const quote = b.indexOf('"', b.length - s)
  const end = quote < 0 || s === 0 ? b.length : quote
  const inner = innerOf(a.slice(start, a.length - (b.length - end)), b.slice(start, end))
  const template = { id, prefix: copyOf(b.slice(0, start)), inner: copyOf(inner), suffix: copyOf(b.slice(end)) }
  return shared(template) < MIN_SHARED ? null : template
}

/**
 * The longest text common to both middles, from a quote to a quote. Looked for at their first quotes only, so that a
 * text full of quotes costs no more than another.
 */
function innerOf(a: Bytes, b: Bytes): Bytes {
  if (a.length < MIN_SEARCHED || b.length < MIN_SEARCHED || a.length > MAX_SEARCHED || b.length > MAX_SEARCHED)
    return ''
  const quotes = quotesOf(b)
  let [longest, start] = [MIN_INNER - 1, 0]
  for (const i of quotesOf(a))
    for (const j of quotes) {
      let n = 1
      let quoted = 1
      for (; i + n < a.length && j + n < b.length; n++) {
        const c = a.charCodeAt(i + n)
        if (c !== b.charCodeAt(j + n)) break
        if (c === QUOTE) quoted = n + 1
      }
      if (quoted > longest) [longest, start] = [quoted, j]
    }
  return longest < MIN_INNER ? '' : b.slice(start, start + longest)
}

function quotesOf(text: Bytes): readonly number[] {
  const places: number[] = []
  for (let at = text.indexOf('"'); at >= 0 && places.length < MAX_QUOTES; at = text.indexOf('"', at + 1))
    places.push(at)
  return places
}

/**
 * Which records are wanted: those after the next `skip`, until they have `maxBytes` or there are `most` of them.
 */
export class Extract {
  readonly records: Bytes[] = []
  skip: number
  most: number
  readonly #maxBytes: number
  #bytes = 0

  constructor(skip: number, most: number, maxBytes: number) {
    this.skip = skip
    this.most = most
    this.#maxBytes = maxBytes
  }

  get full(): boolean {
    return this.records.length >= this.most || (this.records.length > 0 && this.#bytes >= this.#maxBytes)
  }

  take(record: Bytes): void {
    this.records.push(record)
    this.#bytes += record.length
  }
}

/**
 * Decodes into `into` until that is full. `templates`: those known from before; those that the text defines are added.
 * Throws when the text is damaged.
 */
export function decode(encoded: Bytes, templates: Template[], into: Extract): void {
  let i = 0
  const length = (): number => {
    let n = 0
    let scale = 1
    for (;;) {
      const c = encoded.charCodeAt(i++)
      n += (c & 127) * scale
      // Past the end of the text it is NaN, and what follows fails
      if (!(c >= 128)) break
      scale *= 128
    }
    if (!(i + n <= encoded.length)) throw new Error('a stored log is damaged')
    return n
  }
  const next = (): Bytes => {
    const n = length()
    i += n
    return encoded.slice(i - n, i)
  }
  const pass = (): void => {
    const n = length()
    i += n
  }
  while (i < encoded.length && !into.full) {
    const id = encoded.charCodeAt(i++)
    if (id === DEFINE) {
      const known = encoded.charCodeAt(i++)
      templates[known - FIRST_ID] = { id: known, prefix: next(), inner: next(), suffix: next() }
      continue
    }
    const template = id === LITERAL ? null : templates[id - FIRST_ID]
    if (template === undefined) throw new Error('a stored log is damaged')
    const two = template !== null && template.inner !== ''
    if (into.skip > 0) {
      into.skip--
      pass()
      if (two) pass()
    } else if (template === null) into.take(next())
    else if (two) into.take(template.prefix + next() + template.inner + next() + template.suffix)
    else into.take(template.prefix + next() + template.suffix)
  }
}
