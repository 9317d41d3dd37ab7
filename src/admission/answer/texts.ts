/**
 * The texts of an answer, looked through on their way to the log. A chunk stays one chunk; what is held back of it
 * comes with a later one of its choice, or in one of its own before the choice ends.
 *
 * A choice ends with its finish reason, unless more of it follows: some upstreams give one with every chunk. So a chunk
 * with a reason waits for what comes next.
 */
import { chunkShows, reasonOf } from '../../core/delta.ts'
import { parseDocument } from '../../core/document.ts'
import { choiceIndex, isObject, type Json, type JsonObject } from '../../core/fold.ts'
import { editStrings, type Names } from '../../core/json-strings.ts'
import { type Bytes, toBytes } from '../../core/record.ts'
import { isLabel, isMedia, type Make, Tracks } from './tracks.ts'

export interface AnswerTextsOptions {
  readonly make: Make
  /** Does anything change the answer? Else it is only looked through. */
  readonly edits: boolean
  /** What earlier attempts showed of the content, where it is continued. */
  readonly shown: string
  readonly onMedia: () => void
  /** The guard that blocked, for the client. */
  readonly blockedBy: () => string
  /** Choices that were asked for. */
  readonly choices: number
}

/** Members of an answer that are no texts. */
const HEAD = new Set(['id', 'object', 'created', 'model', 'choices', 'usage', 'system_fingerprint', 'service_tier'])
/** They spell the text again, token by token. */
const SPELLINGS = ['logprobs', 'token_ids'] as const

export class AnswerTexts {
  readonly #options: AnswerTextsOptions
  readonly #choices = new Map<number, Tracks>()
  readonly #ended = new Set<number>()
  #isBlocked = false
  /** The last chunk. */
  #last: JsonObject = {}
  #waiting: { readonly chunk: JsonObject; readonly payload: Bytes } | null = null

  constructor(options: AnswerTextsOptions) {
    this.#options = options
  }

  /** Was a choice blocked, and have all others ended? Then nothing more is needed of the provider. */
  get isOver(): boolean {
    return this.#isBlocked && this.#ended.size >= this.#options.choices
  }

  chunk(chunk: JsonObject, payload: Bytes): readonly Bytes[] {
    if (!this.#options.edits) {
      this.#lookThrough(chunk)
      return [payload]
    }
    const out: Bytes[] = []
    this.#last = chunk
    this.#release(out, (index) => chunkShows(chunk) && choicesOf(chunk).some(([i]) => i === index))
    if (choicesOf(chunk).some(([, choice]) => reasonOf(choice) !== null)) this.#waiting = { chunk, payload }
    else this.#edit(chunk, payload, () => false, out)
    return out
  }

  /** The answer is complete. */
  end(): readonly Bytes[] {
    const out: Bytes[] = []
    this.#release(out, () => false)
    for (const [index, tracks] of this.#choices) {
      const left = tracks.end()
      if (this.#options.edits)
        for (const delta of left) out.push(line(this.#last, [{ index, delta, finish_reason: null }]))
    }
    return out
  }

  document(document: Bytes): Bytes {
    const blocked = new Set<number>()
    const at = (names: Names): number => (names[0] === 'choices' && typeof names[1] === 'number' ? names[1] : -1)
    const edited = editStrings(Buffer.from(document, 'latin1'), (text, names) => {
      const choice = at(names)
      const name = names.findLast((each) => typeof each === 'string') as string
      if (text === '' || isLabel(name) || name === 'finish_reason' || names.includes('logprobs')) return text
      if (choice < 0 && HEAD.has(names[0] as string)) return text
      if (isMedia(name, text)) {
        this.#options.onMedia()
        return text
      }
      const redactor = this.#options.make('')
      const shown = redactor.whole(text)
      if (redactor.blocked) blocked.add(choice)
      return shown
    })
    if (!this.#options.edits) return document
    const bytes = Buffer.from(edited.buffer, edited.byteOffset, edited.byteLength).toString('latin1')
    const spells = SPELLINGS.some((name) => new RegExp(`"${name}"\\s*:\\s*[[{]`).test(bytes))
    if (blocked.size === 0 && !spells) return edited.length === document.length && bytes === document ? document : bytes
    const parsed = parseDocument(bytes)
    const { choices } = parsed
    const others = (Array.isArray(choices) ? choices : []).map((choice, i) => {
      if (!isObject(choice)) return choice
      // What is beside the choices belongs to all of them
      if (blocked.has(i) || blocked.has(-1)) return this.#blockedChoice(choice)
      return unspelled(choice)
    })
    return toBytes(JSON.stringify({ ...parsed, choices: others }))
  }

  #blockedChoice({ index }: JsonObject): JsonObject {
    const message = { role: 'assistant', content: null }
    return { index: index ?? 0, message, logprobs: null, finish_reason: 'content_filter', sluice: this.#told() }
  }

  #told(): JsonObject {
    return { guard: this.#options.blockedBy(), verdict: 'block' }
  }

  /** `goesOn`: does what comes next show more of a choice? */
  #release(out: Bytes[], goesOn: (index: number) => boolean): void {
    if (this.#waiting === null) return
    const { chunk, payload } = this.#waiting
    this.#waiting = null
    this.#edit(chunk, payload, (index, choice) => reasonOf(choice) !== null && !goesOn(index), out)
  }

  #edit(chunk: JsonObject, payload: Bytes, isLast: (index: number, choice: JsonObject) => boolean, out: Bytes[]): void {
    const before = JSON.stringify(chunk)
    const kept: JsonObject[] = []
    const all = choicesOf(chunk)
    for (const [index, choice] of all) {
      const tracks = this.#tracksOf(index)
      if (tracks.blocked) continue
      const { delta } = choice
      const last = isLast(index, choice)
      const pieces = tracks.delta(isObject(delta) ? delta : {}, last)
      for (const piece of pieces) out.push(line(chunk, [{ index, delta: piece, finish_reason: null }]))
      for (const name of SPELLINGS) if (typeof choice[name] === 'object') choice[name] = null
      if (last) this.#ended.add(index)
      kept.push(tracks.blocked ? this.#ending(index, choice) : choice)
    }
    for (const name of Object.keys(chunk)) if (!HEAD.has(name)) chunk[name] = this.#others(chunk[name])
    if (all.length > 0 && kept.length === 0 && !isObject(chunk['usage'])) return
    if (all.length > 0) chunk['choices'] = kept
    const after = JSON.stringify(chunk)
    out.push(after === before ? payload : toBytes(after))
  }

  #ending(index: number, { delta }: JsonObject): JsonObject {
    this.#isBlocked = true
    this.#ended.add(index)
    return { index, delta: delta ?? {}, finish_reason: 'content_filter', sluice: this.#told() }
  }

  /** A member beside the choices, whatever it is. */
  #others(value: Json): Json {
    if (typeof value === 'string') return this.#options.make('').whole(value)
    if (Array.isArray(value)) return value.map((item) => this.#others(item))
    if (!isObject(value)) return value
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, this.#others(member)]))
  }

  #lookThrough(chunk: JsonObject): void {
    for (const [index, { delta }] of choicesOf(chunk)) if (isObject(delta)) this.#tracksOf(index).delta(delta, false)
  }

  #tracksOf(index: number): Tracks {
    let tracks = this.#choices.get(index)
    if (tracks === undefined) {
      const { make, shown, onMedia } = this.#options
      tracks = new Tracks(make, index === 0 ? shown : '', onMedia)
      this.#choices.set(index, tracks)
    }
    return tracks
  }
}

/** With their indexes. */
function choicesOf({ choices }: JsonObject): ReadonlyArray<readonly [number, JsonObject]> {
  if (!Array.isArray(choices)) return []
  return choices.flatMap((choice, i) => (isObject(choice) ? [[choiceIndex(choice, i, choices.length), choice]] : []))
}

/** Another chunk of the same answer. */
function line({ usage: _usage, ...head }: JsonObject, choices: Json[]): Bytes {
  return toBytes(JSON.stringify({ ...head, object: 'chat.completion.chunk', choices }))
}

const unspelled = (choice: JsonObject): JsonObject => {
  const without = { ...choice }
  for (const name of SPELLINGS) if (typeof without[name] === 'object') without[name] = null
  return without
}
