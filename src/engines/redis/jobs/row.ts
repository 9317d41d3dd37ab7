/**
 * A job as the fleet stores and carries it. Names are short and what is usual is left out: of a job in line, these
 * texts are most of what Redis holds besides its request. What is read is checked: a peer may be of another version,
 * and members that this one does not know are dropped.
 *
 *   inbox    facts, in a `submit`
 *   live     {facts, s: seq, a: acceptedAtMs}
 *   r:<id>   "<bytes>\n" + its text in live + "\n" + {end}: written by the commit that ends it
 */

import { SluiceError, type WireError } from '../../../core/errors.ts'
import {
  isTerminal,
  type Job,
  type JobDraft,
  type JobId,
  type JobOptions,
  type JobState,
  type Timing,
  type Usage,
} from '../../../core/job.ts'
import { isRecord, type JsonRecord } from '../../../core/json.ts'

/** A job as it was submitted, without its request, which is stored beside it. */
export interface JobFacts extends Omit<JobDraft, 'body'> {
  readonly id: JobId
  readonly bodyBytes: number
}

/** A job that was accepted. */
export interface LiveRow {
  readonly facts: JobFacts
  /** Orders the shard's jobs: given in the commit that accepts it. */
  readonly seq: number
  readonly acceptedAtMs: number
}

/** How it ended. */
export interface EndRow {
  readonly state: JobState
  readonly endedAtMs: number
  readonly attempts: number
  /** Of its log, whose last record is `head`. */
  readonly epoch: number
  readonly head: number
  readonly error?: WireError | undefined
  readonly usage?: Usage | undefined
  readonly timing?: Timing | undefined
}

export interface EndedRow extends LiveRow {
  readonly end: EndRow
  /** What all that is stored of it takes in Redis. */
  readonly bytes: number
}

export const NO_BODY = new Uint8Array(0)

// ---------------------------------------------------------------- members

interface Member {
  readonly name: string
  readonly short: string
  readonly ok: (value: unknown) => boolean
  /** Its value where it is left out; REQUIRED: it never is. */
  readonly otherwise: unknown
}

const REQUIRED = Symbol('required')
const required = (name: string, short: string, ok: Member['ok']): Member => ({ name, short, ok, otherwise: REQUIRED })
const optional = (name: string, short: string, ok: Member['ok'], otherwise?: unknown): Member => ({
  name,
  short,
  ok,
  otherwise,
})

const text = (value: unknown): boolean => typeof value === 'string'
const flag = (value: unknown): boolean => typeof value === 'boolean'
const count = (value: unknown): boolean => typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER
const number = (value: unknown): boolean => typeof value === 'number'
const oneOf =
  (...all: readonly string[]) =>
  (value: unknown): boolean =>
    all.includes(value as string)
const texts = (value: unknown): boolean => isRecord(value) && Object.values(value).every(text)

const OPTIONS = [
  optional('lane', 'l', text),
  optional('conversation', 'c', text),
  required('pool', 'p', text),
  optional('priority', 'r', oneOf('high', 'low'), 'normal'),
  optional('delayMs', 'w', count),
  required('deadlineMs', 'd', count),
  optional('idempotencyKey', 'i', text),
  optional('policy', 'y', oneOf('reject'), 'wait'),
  optional('onWorkerLoss', 'x', oneOf('restart', 'fail'), 'continue'),
  optional('onDisconnect', 'z', oneOf('cancel'), 'continue'),
]

const FACTS = [
  required('tenant', 't', text),
  required('keyId', 'k', text),
  optional('user', 'u', text),
  optional('session', 'n', text),
  optional('kind', 'v', oneOf('embedding'), 'chat'),
  required('model', 'm', text),
  required('bodyHash', 'h', text),
  required('bodyBytes', 'b', count),
  optional('isRetry', 'y', flag, false),
  optional('dialect', 'd', text, 'chat'),
  optional('shownAs', 'w', isRecord),
  optional('takesBack', 'x', flag, false),
  optional('document', 'f', flag),
  required('promptTokens', 'p', count),
  optional('metadata', 'e', texts),
  optional('requestId', 'q', text),
  optional('trace', 'c', text),
  optional('redriveOf', 'g', text),
]

const END = [
  required('state', 'z', (value) => isTerminal(value as JobState)),
  required('endedAtMs', 't', number),
  required('attempts', 'n', count),
  required('epoch', 'e', count),
  required('head', 'h', count),
  optional('error', 'x', isWireError),
  optional('usage', 'u', isRecord),
  optional('timing', 'm', isRecord),
]

function isWireError(value: unknown): boolean {
  return isRecord(value) && text(value['code']) && text(value['message']) && text(value['type'])
}

function pack(members: readonly Member[], from: object): Record<string, unknown> {
  const packed: Record<string, unknown> = {}
  for (const { name, short, otherwise } of members) {
    const value = (from as JsonRecord)[name]
    if (value !== otherwise) packed[short] = value
  }
  return packed
}

/** Null where a member is missing or not what it must be. */
function unpack(members: readonly Member[], packed: JsonRecord): Record<string, unknown> | null {
  const found: Record<string, unknown> = {}
  for (const { name, short, ok, otherwise } of members) {
    const value = packed[short]
    if (value !== undefined) {
      if (!ok(value) && value !== otherwise) return null
      found[name] = value
    } else if (otherwise === REQUIRED) return null
    else if (otherwise !== undefined) found[name] = otherwise
  }
  return found
}

// ---------------------------------------------------------------- facts

/** To be sent, as a member of a command. */
export const packFacts = (facts: JobFacts): JsonRecord => ({
  i: facts.id,
  ...pack(FACTS, facts),
  o: pack(OPTIONS, facts.options),
})

export function unpackFacts(packed: unknown): JobFacts | null {
  if (!isRecord(packed) || !text(packed['i']) || !isRecord(packed['o'])) return null
  const facts = unpack(FACTS, packed)
  const options = unpack(OPTIONS, packed['o'])
  if (facts === null || options === null) return null
  return { ...facts, id: packed['i'] as string, options: options as unknown as JobOptions } as JobFacts
}

// ---------------------------------------------------------------- rows

export const liveText = ({ facts, seq, acceptedAtMs }: LiveRow): string =>
  JSON.stringify({ ...packFacts(facts), y: undefined, s: seq, a: acceptedAtMs })

/** Throws job_damaged. */
export function readLive(id: JobId, stored: string): LiveRow {
  const packed = parsed(stored)
  const facts = packed === null ? null : unpackFacts(packed)
  if (packed === null || facts?.id !== id || !count(packed['s']) || !number(packed['a'])) throw damaged(id)
  return { facts, seq: packed['s'] as number, acceptedAtMs: packed['a'] as number }
}

export const endText = (end: EndRow): string => JSON.stringify(pack(END, end))

/** Throws job_damaged. */
export function readEnded(id: JobId, stored: string): EndedRow {
  const [bytes, live, last] = stored.split('\n', 3)
  const packed = parsed(last ?? '')
  const end = packed === null ? null : unpack(END, packed)
  if (end === null || !/^\d{1,15}$/.test(bytes)) throw damaged(id)
  return { ...readLive(id, live), end: end as unknown as EndRow, bytes: Number(bytes) }
}

function parsed(stored: string): JsonRecord | null {
  try {
    const value: unknown = JSON.parse(stored)
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}

const damaged = (id: JobId): SluiceError =>
  new SluiceError('job_damaged', { message: `What is stored of ${id} in Redis is damaged, and is not served.` })

// ---------------------------------------------------------------- as clients see it

/** What changes while a job lives. */
export interface Standing {
  readonly state: JobState
  readonly attempts: number
  readonly epoch: number
}

/** Without its body. */
export const showLive = ({ facts, acceptedAtMs }: LiveRow, { state, attempts, epoch }: Standing): Job => ({
  ...draftOf(facts),
  state,
  attempts,
  epoch,
  acceptedAtMs,
})

export function showEnded({ facts, acceptedAtMs, end }: EndedRow): Job {
  const { head: _head, ...told } = end
  return { ...draftOf(facts), ...told, acceptedAtMs }
}

function draftOf(facts: JobFacts): Omit<JobFacts, 'isRetry' | 'bodyBytes'> & Pick<JobDraft, 'body'> {
  const { isRetry: _retry, bodyBytes: _bytes, ...draft } = facts
  return { ...draft, body: NO_BODY }
}
