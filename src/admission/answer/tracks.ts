/**
 * The texts of one choice that arrive in pieces (its content, its reasoning, the arguments of each call), each a track
 * of its own: what is held back of one is never shown in another.
 */
import { indexOf, isObject, isPiece, type Json, type JsonObject } from '../../core/fold.ts'
import type { Redactor } from '../scan/redactor.ts'

/** Looks through one text. */
export type Reader = Pick<Redactor, 'push' | 'end' | 'whole' | 'blocked'>
/** `context`: what was shown of the text before. */
export type Make = (context: string) => Reader

/** A step to a text: a member, or an item of a list by the labels that tell it from others. */
type Step = string | { readonly labels: JsonObject }

interface Track {
  readonly redactor: Reader
  readonly path: readonly Step[]
}

interface Call {
  readonly id: string | null
  readonly n: number
  begun: boolean
}

/** Members that name or label something; no text of an answer. */
const LABELS = new Set(['role', 'type', 'id', 'index', 'format', 'name', 'tool_call_id', 'expires_at'])
const MEDIA = new Set(['data', 'b64_json'])
/** Members that may hold it as a data URL. */
const ADDRESSES = new Set(['url', 'image_url', 'audio_url', 'video_url', 'file_url', 'file_data'])
const DATA_URL = /^data:[^,]{0,256};base64,/i

/** Is it sound or image, which nothing is looked for in? */
export const isMedia = (name: string, text: string): boolean =>
  MEDIA.has(name) || (ADDRESSES.has(name) && DATA_URL.test(text))
export const isLabel = (name: string): boolean => LABELS.has(name)

export class Tracks {
  blocked = false
  readonly #make: Make
  readonly #context: string
  readonly #onMedia: () => void
  readonly #tracks = new Map<string, Track>()
  /** By the index of a call, or null where an upstream gives none. */
  readonly #calls = new Map<number | null, Call>()
  #callsBegun = 0

  /** `context`: of its content. */
  constructor(make: Make, context: string, onMedia: () => void) {
    this.#make = make
    this.#context = context
    this.#onMedia = onMedia
  }

  /**
   * Edits a delta in place. Returns deltas that must be shown before it. `isLast`: nothing of these texts follows, so
   * nothing is held back.
   */
  delta(delta: JsonObject, isLast: boolean): readonly JsonObject[] {
    const before: JsonObject[] = []
    const touched = new Set<string>()
    this.#object(delta, '', [], '', isLast, before, touched)
    if (isLast && !this.blocked)
      for (const [key, track] of this.#tracks) if (!touched.has(key)) this.#flush(track, before)
    return before
  }

  /** What is held back of all texts. */
  end(): readonly JsonObject[] {
    const left: JsonObject[] = []
    for (const track of this.#tracks.values()) this.#flush(track, left)
    return left
  }

  #flush({ redactor, path }: Track, into: JsonObject[]): void {
    if (this.blocked) return
    const text = redactor.end()
    if (redactor.blocked) this.blocked = true
    if (text !== '') into.push(built(path, text))
  }

  #object(
    object: JsonObject,
    owner: string,
    path: readonly Step[],
    key: string,
    isLast: boolean,
    before: JsonObject[],
    touched: Set<string>,
  ): void {
    for (const name of Object.keys(object)) {
      const value = object[name]
      if (this.blocked) object[name] = typeof value === 'string' && !isLabel(name) ? '' : value
      else if (typeof value === 'string') {
        if (value === '' || isLabel(name)) continue
        if (isMedia(name, value)) this.#onMedia()
        else if (isPiece(name, owner))
          object[name] = this.#piece(`${key}/${name}`, [...path, name], value, isLast, touched)
        else object[name] = this.#whole(value)
      } else if (Array.isArray(value)) this.#list(value, name, path, `${key}/${name}`, isLast, before, touched)
      else if (isObject(value)) this.#object(value, name, [...path, name], `${key}/${name}`, isLast, before, touched)
    }
  }

  #list(
    list: Json[],
    name: string,
    path: readonly Step[],
    key: string,
    isLast: boolean,
    before: JsonObject[],
    touched: Set<string>,
  ): void {
    for (const [i, item] of list.entries()) {
      if (typeof item === 'string') list[i] = this.#whole(item)
      else if (Array.isArray(item)) this.#list(item, name, path, key, isLast, before, touched)
      if (!isObject(item)) continue
      const index = indexOf(item['index'])
      const labels: JsonObject = index === null ? {} : { index: item['index'] }
      if (name === 'tool_calls') {
        const call = this.#callOf(index, item, key, before)
        this.#object(item, name, [...path, name, { labels }], `${key}/${call.n}`, isLast, before, touched)
        call.begun = true
      } else {
        if (item['type'] !== undefined) labels['type'] = item['type']
        const itemKey = `${key}/${index ?? ''}:${String(item['type'] ?? '')}`
        this.#object(item, name, [...path, name, { labels }], itemKey, isLast, before, touched)
      }
    }
  }

  /** The call that a piece belongs to. Where it begins another one, what is held back of the one before is shown. */
  #callOf(index: number | null, item: JsonObject, key: string, before: JsonObject[]): Call {
    const { id, function: made, custom } = item
    const known = this.#calls.get(index)
    const hasName = [made, custom].some((each) => isObject(each) && typeof each['name'] === 'string' && each['name'])
    const isOther =
      known !== undefined &&
      (typeof id === 'string' && id !== '' && known.id !== null
        ? id !== known.id
        : index === null && known.begun && hasName)
    if (known !== undefined && !isOther) return known
    if (known !== undefined)
      for (const [name, track] of this.#tracks)
        if (name.startsWith(`${key}/${known.n}/`)) {
          this.#flush(track, before)
          this.#tracks.delete(name)
        }
    const call: Call = { id: typeof id === 'string' && id !== '' ? id : null, n: this.#callsBegun++, begun: false }
    this.#calls.set(index, call)
    return call
  }

  #piece(key: string, path: readonly Step[], text: string, isLast: boolean, touched: Set<string>): string {
    let track = this.#tracks.get(key)
    if (track === undefined) {
      track = { redactor: this.#make(key === '/content' ? this.#context : ''), path }
      this.#tracks.set(key, track)
    }
    touched.add(key)
    const shown = track.redactor.push(text)
    const left = isLast ? track.redactor.end() : ''
    if (track.redactor.blocked) this.blocked = true
    return shown + left
  }

  #whole(text: string): string {
    const redactor = this.#make('')
    const shown = redactor.whole(text)
    if (redactor.blocked) this.blocked = true
    return shown
  }
}

/** A delta with nothing but a text. */
function built(path: readonly Step[], text: string): JsonObject {
  let value: Json = text
  for (const step of path.toReversed())
    value = typeof step === 'string' ? { [step]: value } : [{ ...step.labels, ...(value as JsonObject) }]
  return value as JsonObject
}
