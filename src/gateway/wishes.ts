/** What a job wishes for, from the body's `sluice` member and from headers. See PROTOCOL.md section 2. */
import { SluiceError } from '../core/errors.ts'
import type { Wishes } from '../core/job.ts'
import { didYouMean } from '../core/nearest.ts'
import { isRecord, type JsonRecord } from './body.ts'

const NAMES = ['conversation', 'lane', 'pool', 'priority', 'delay_ms', 'deadline_ms', 'idempotency_key', 'policy', 'on_worker_loss', 'on_disconnect', 'metadata'] as const
type Name = (typeof NAMES)[number]
export const WISH_NAMES: ReadonlySet<string> = new Set(NAMES)

const MAX_NAME_CHARS = 256
const MAX_DELAY_MS = 30 * 86_400_000
const CHOICES: Readonly<Partial<Record<Name, readonly string[]>>> = {
  priority: ['high', 'normal', 'low'],
  policy: ['reject', 'wait'],
  on_worker_loss: ['continue', 'restart', 'fail'],
  on_disconnect: ['cancel', 'continue'],
}

export interface Defaults {
  readonly pool: string
  /** A POST of OpenAI's dialect that is answered on its own connection. */
  readonly plain: boolean
  readonly plainDeadlineMs: number
  readonly jobDeadlineMs: number
}

export interface Wished {
  readonly wishes: Wishes
  readonly metadata: Readonly<Record<string, string>> | undefined
}

/** `said`: the members; `header`: reads a request header. The body wins over headers. Throws invalid_request. */
export function readWishes(said: JsonRecord, header: (name: string) => string | undefined, defaults: Defaults): Wished {
  for (const name of Object.keys(said)) if (!WISH_NAMES.has(name)) throw new SluiceError('invalid_request', { param: `sluice.${name}`, message: `"${name}" is not a wish.${didYouMean(name, NAMES)}` })
  const value = (name: Name): unknown => said[name] ?? header(`sluice-${name.replaceAll('_', '-')}`) ?? (name === 'idempotency_key' ? header('idempotency-key') : undefined)
  const bad = (name: Name, what: string): SluiceError => new SluiceError('invalid_request', { param: `sluice.${name}`, message: `"${name}" must be ${what}.` })

  const text = (name: Name): string | undefined => {
    const v = value(name)
    if (v === undefined || v === null) return undefined
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    if (typeof v !== 'string' || v === '' || v.length > MAX_NAME_CHARS || /[\x00-\x1f\x7f]/.test(v)) throw bad(name, `a text of 1 to ${MAX_NAME_CHARS} characters`)
    return v
  }
  const choice = <T extends string>(name: Name, otherwise: T): T => {
    const v = text(name)
    if (v === undefined) return otherwise
    if (!CHOICES[name]?.includes(v)) throw bad(name, `one of ${CHOICES[name]?.join(', ')}`)
    return v as T
  }
  const ms = (name: Name, min: number): number | undefined => {
    const v = value(name)
    if (v === undefined || v === null) return undefined
    const n = typeof v === 'string' && /^\d+$/.test(v) ? Number(v) : v
    if (typeof n !== 'number' || !Number.isInteger(n) || n < min || n > MAX_DELAY_MS) throw bad(name, `a whole number of ms from ${min} to ${MAX_DELAY_MS}`)
    return n
  }

  const conversation = text('conversation')
  const lane = text('lane')
  if (conversation !== undefined && lane !== undefined) throw bad('lane', 'left out: a conversation is a lane of its own')
  const idempotencyKey = text('idempotency_key')
  const delayMs = ms('delay_ms', 0)
  const keeps = idempotencyKey !== undefined || conversation !== undefined
  const wishes: Wishes = {
    ...(lane === undefined ? {} : { lane }),
    ...(conversation === undefined ? {} : { conversation }),
    pool: text('pool') ?? defaults.pool,
    priority: choice('priority', 'normal'),
    ...(delayMs === undefined ? {} : { delayMs }),
    deadlineMs: ms('deadline_ms', 1) ?? (defaults.plain && conversation === undefined ? defaults.plainDeadlineMs : defaults.jobDeadlineMs) + (delayMs ?? 0),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    policy: choice('policy', defaults.plain && conversation === undefined ? 'reject' : 'wait'),
    onWorkerLoss: choice('on_worker_loss', 'continue'),
    onDisconnect: choice('on_disconnect', defaults.plain && !keeps ? 'cancel' : 'continue'),
  }
  return { wishes, metadata: readMetadata(said['metadata']) }
}

function readMetadata(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined || value === null) return undefined
  const ok = isRecord(value) && Object.keys(value).length <= 16 && Object.entries(value).every(([k, v]) => k.length <= 64 && typeof v === 'string' && v.length <= 512)
  if (!ok) throw new SluiceError('invalid_request', { param: 'sluice.metadata', message: '"metadata" must be at most 16 pairs of texts (names to 64, values to 512 characters).' })
  return value as Record<string, string>
}
