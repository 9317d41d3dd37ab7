/**
 * What a client submitted, in few bytes: of a job in line, it is most of what Redis holds beside the request. Names are
 * short, and what is usual is left out. What is read is checked, and what a later version added is dropped.
 */
import type { Cached, JobDraft, JobOptions } from '../../../core/job.ts'
import { isRecord, type JsonRecord } from '../../../core/json.ts'
import { type Member as Check, count, flag, list, maybe, members, text } from '../../shared/shape.ts'

/** A draft without its body. */
export interface Facts extends Omit<JobDraft, 'body' | 'isRetry'> {
  /** Of one that was accepted. */
  readonly cached?: Cached
  /** Of a conversation's job: what of its body is the turn. */
  readonly turn?: TurnRange
}

/**
 * Where a request has its `messages`: bytes from (of the "["), to, and how many of them up to the end of the
 * instructions that they begin with, 0 without any.
 */
export type TurnRange = readonly [from: number, to: number, instructions: number]

interface Member {
  readonly name: string
  readonly short: string
  readonly ok: Check
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

const oneOf =
  (...all: readonly string[]) =>
  (value: unknown): boolean =>
    all.includes(value as string)
const texts = (value: unknown): boolean => isRecord(value) && Object.values(value).every(text)

const rate: Check = (value) => Number.isFinite(value) && (value as number) >= 0

const price = members({ input: rate, output: rate })

const turnRange: Check = (value) => Array.isArray(value) && value.length === 3 && value.every(count)

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
  optional('cache', 'h', oneOf('no-store', 'no-cache')),
]

const FACTS = [
  required('tenant', 't', text),
  required('keyId', 'k', text),
  optional('user', 'u', text),
  optional('session', 'n', text),
  optional('kind', 'v', oneOf('embedding', 'image', 'speech', 'transcription'), 'chat'),
  required('model', 'm', text),
  required('bodyHash', 'h', text),
  optional('dialect', 'd', text, 'chat'),
  optional('shownAs', 'w', isRecord),
  optional('takesBack', 'x', flag, false),
  optional('hidesThought', 'ht', flag),
  optional('document', 'f', flag),
  required('promptTokens', 'p', count),
  optional('maxOutputTokens', 'b', count),
  optional('route', 'y', text),
  optional('run', 'r', text),
  optional('parent', 'pa', text),
  optional('after', 'ar', list(text)),
  optional('outputs', 'ou', list(count)),
  optional('price', 'a', price),
  optional('share', 'j', members({ key: text, refresh: maybe(flag) })),
  optional('needs', 'nd', members({ can: list(text), tags: list(text) })),
  optional('affinity', 'af', text),
  optional('instead', 'in', list(members({ model: text, price: maybe(price) }))),
  optional('cached', 'i', oneOf('hit', 'joined', 'miss')),
  optional('metadata', 'e', texts),
  optional('budget', 'bu', members({ tokens: maybe(count), nanoDollars: maybe(count), steps: maybe(count) })),
  optional('depth', 'dp', count),
  optional('requestId', 'q', text),
  optional('admissionMs', 'z', rate),
  optional('trace', 'c', text),
  optional('intake', 'br', members({ broker: oneOf('rabbitmq', 'kafka'), message: maybe(text) })),
  optional('webhook', 'wb', text),
  optional('tells', 'tl', oneOf('response', 'job')),
  optional('redriveOf', 'g', text),
  optional('turn', 's', turnRange),
]

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

export const packFacts = (facts: Facts): JsonRecord => ({
  ...pack(FACTS, facts),
  o: pack(OPTIONS, facts.options),
})

/** Null where it is not what it must be. */
export function unpackFacts(packed: unknown): Facts | null {
  if (!isRecord(packed) || !isRecord(packed['o'])) return null
  const facts = unpack(FACTS, packed)
  const options = unpack(OPTIONS, packed['o'])
  if (facts === null || options === null) return null
  return { ...facts, options: options as unknown as JobOptions } as Facts
}
