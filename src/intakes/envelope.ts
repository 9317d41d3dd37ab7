/**
 * Sluice's own messages: jobs that have passed the door, and cancels of them. They carry decisions (who asks, what it
 * weighs and costs, that the guards let it pass), so they are signed; what others publish is JSON, and begins with "{".
 *
 *     sluice1 <HMAC-SHA256 of all that follows the first line, base64url> "\n" <facts, JSON> "\n" <request>
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { CROCKFORD } from '../core/ids.ts'
import type { JobDraft, JobId } from '../core/job.ts'

export type Own =
  | {
      readonly type: 'job'
      readonly id: JobId
      readonly draft: JobDraft
      /** Its client waits until it is owned, and is told what it is refused for. */
      readonly isAsked: boolean
    }
  /** It is not to run; `order`: as of its job. */
  | { readonly type: 'cancel'; readonly id: JobId; readonly order: string }

type Facts =
  | { readonly type: 'job'; readonly id: JobId; readonly draft: Omit<JobDraft, 'body'>; readonly isAsked: boolean }
  | Extract<Own, { type: 'cancel' }>

const MARK = 'sluice1 '
const MAC_CHARS = 43
const NEWLINE = 0x0a
const NOTHING = new Uint8Array(0)

/** Jobs of one such key stay in order: those of a lane or a conversation; any other job is alone. */
export function orderOf(
  {
    tenant,
    options: { lane, conversation },
  }: {
    readonly tenant: string
    readonly options: { readonly lane?: string | undefined; readonly conversation?: string | undefined }
  },
  id: JobId,
): string {
  if (conversation !== undefined) return `conversation\n${tenant}\n${conversation}`
  return lane === undefined ? id : `lane\n${tenant}\n${lane}`
}

export const isOwn = (payload: Uint8Array): boolean =>
  payload.length > MARK.length && Buffer.from(payload.buffer, payload.byteOffset, MARK.length).toString() === MARK

export class Envelopes {
  readonly #secret: Uint8Array
  readonly #all: readonly Uint8Array[]

  /** The same for all processes on one store, and over restarts: what neither it nor `others` signed is not taken. */
  constructor(secret: Uint8Array, ...others: readonly Uint8Array[]) {
    this.#secret = secret
    this.#all = [secret, ...others]
  }

  seal(own: Own): Uint8Array {
    const [facts, body] = split(own)
    const rest = Buffer.concat([Buffer.from(`${JSON.stringify(facts)}\n`), body])
    return Buffer.concat([Buffer.from(`${MARK}${this.#mac(rest).toString('base64url')}\n`), rest])
  }

  /** A partition's key tells nothing of the names in it. */
  keyOf(order: string): string {
    return this.#mac(Buffer.from(order)).toString('base64url').slice(0, 22)
  }

  /** As many characters of a job's id, which nobody else can find. */
  markOf(text: string, chars: number): string {
    return Array.from(this.#mac(Buffer.from(text)).subarray(0, chars), (byte) => CROCKFORD[byte & 31]).join('')
  }

  /** Null: it is not signed by this Sluice. */
  open(payload: Uint8Array): Own | null {
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    const begin = MARK.length + MAC_CHARS + 1
    if (!isOwn(bytes) || bytes[begin - 1] !== NEWLINE) return null
    const given = Buffer.from(bytes.subarray(MARK.length, begin - 1).toString('latin1'), 'base64url')
    const rest = bytes.subarray(begin)
    const isSigned = (secret: Uint8Array): boolean => {
      const mac = macOf(secret, rest)
      return given.length === mac.length && timingSafeEqual(given, mac)
    }
    if (!this.#all.some(isSigned)) return null
    const end = rest.indexOf(NEWLINE)
    const facts = JSON.parse(rest.subarray(0, end).toString()) as Facts
    return facts.type === 'cancel' ? facts : { ...facts, draft: { ...facts.draft, body: rest.subarray(end + 1) } }
  }

  #mac(bytes: Uint8Array): Buffer {
    return macOf(this.#secret, bytes)
  }
}

const macOf = (secret: Uint8Array, bytes: Uint8Array): Buffer => createHmac('sha256', secret).update(bytes).digest()

function split(own: Own): readonly [Facts, Uint8Array] {
  if (own.type === 'cancel') return [own, NOTHING]
  const { body, ...draft } = own.draft
  return [{ ...own, draft }, body]
}
