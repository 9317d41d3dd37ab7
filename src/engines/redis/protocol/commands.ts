/**
 * What gateways and workers ask of the coordinator. Commands change something: they are in entries of the inbox, whose
 * values are JSON arrays of them, taken in order and trimmed by the very commit that stores what came of them. Queries
 * change nothing: they are published, and asked again where no answer comes.
 */

import { JOB_KINDS, type JobId, type TenantId } from '../../../core/job.ts'
import type { JsonRecord } from '../../../core/json.ts'
import type { RowKind } from '../../../core/live.ts'
import type { PlanModel } from '../../../core/ports/coordinator.ts'
import type { JobFilter } from '../../../core/ports/jobs.ts'
import type { LineBounds, RouteAsk, Selector } from '../../../core/ports/operations.ts'
import type { Outcome, Race } from '../../../core/ports/work.ts'
import {
  count,
  fits,
  flag,
  list,
  type Member,
  maybe,
  members,
  number,
  object,
  oneOf,
  readTyped,
  type Shape,
  text,
} from '../../shared/shape.ts'
import { type PackedError, packError, unpackError } from './errors.ts'
import { type Facts, packFacts, unpackFacts } from './facts.ts'

/** What was decided in time is committed within this, or never: longer than a coordinator may be stopped. */
export const COMMIT_MS = 4_000

/** Who asks. */
interface Asked {
  /** The process. */
  readonly from: string
  /** Number of the request there; its answer brings it back. */
  readonly n: number
  /** Sent before, and not answered in time. */
  readonly re?: true
}

/** All of them in one commit, or refused one by one; results in their order. */
export interface Submit extends Asked {
  readonly type: 'submit'
  /** By Redis's clock: after this its sender tells its clients that nothing was accepted, and so it must be. */
  readonly untilMs: number
  /** Its requests do not expire. Those of an older version do, until they are taken. */
  readonly lasting?: boolean
  readonly items: readonly Item[]
  /** Its sender reads them: it follows the logs of those that are accepted. */
  readonly follows?: true
  /** Its ids were told before: its jobs may have been taken, and have ended, long ago. */
  readonly reserved?: true
}

export interface Item {
  readonly id: JobId
  readonly facts: Facts
  readonly bodyBytes: number
  readonly isRetry: boolean
  /** It was told as accepted, and then refused: it ends with this. An older version takes it as any other. */
  readonly refused?: PackedError
}

/** `wait`: answered when the job has ended. */
export interface Cancel extends Asked {
  readonly type: 'cancel'
  readonly id: JobId
  readonly wait?: boolean
}

/** A worker takes its seat, or its slots changed. */
export interface Seat extends Asked {
  readonly type: 'seat'
  readonly worker: string
  readonly pools: readonly string[]
  readonly slots: number
  /** Grows with each change: an older one, as in a heartbeat that was overtaken, changes nothing. */
  readonly version: number
}

export interface Leave extends Asked {
  readonly type: 'leave'
  readonly worker: string
}

/** Its process stops: what it still holds when it is gone was handed back, and is no crash. */
export interface Draining extends Asked {
  readonly type: 'draining'
}

/** The end of an attempt; stored by the script that appends its last records. */
export interface Finish extends Asked {
  readonly type: 'finish'
  readonly worker: string
  readonly id: JobId
  readonly attempt: number
  /** Last seq of its log. */
  readonly head?: number
  readonly outcome: PackedOutcome
}

/** A second call for an attempt; answered once it is committed. */
export interface Hedge extends Asked {
  readonly type: 'hedge'
  readonly worker: string
  readonly id: JobId
  readonly attempt: number
}

/** One of its two calls is over. */
export interface Raced extends Asked {
  readonly type: 'raced'
  readonly worker: string
  readonly id: JobId
  readonly attempt: number
  readonly race: Race
}

/** The last reader of a job at a process has left, or the first is there. */
export interface Reading extends Asked {
  readonly type: 'reading'
  readonly id: JobId
  readonly here: boolean
  /** When it may have left, by Redis's clock. */
  readonly leftAtMs?: number
  /** When that was told, as in a heartbeat. */
  readonly atMs?: number
}

export interface Pause extends Asked {
  readonly type: 'pause' | 'resume'
  readonly selector: Selector
}

export interface Purge extends Asked {
  readonly type: 'purge'
  readonly selector: Selector
  readonly most: number
}

// ---------------------------------------------------------------- queries

/** Is the coordinator ready? */
export interface Hello extends Asked {
  readonly type: 'hello'
}

/** Has the end of this attempt been committed? Asked where the answer to a `finish` was lost. */
export interface WasFinished extends Asked {
  readonly type: 'finished'
  readonly worker: string
  readonly id: JobId
  readonly attempt: number
  readonly kind: Outcome['kind']
}

/** States and places. */
export interface Look extends Asked {
  readonly type: 'look'
  readonly ids: readonly JobId[]
}

/** Jobs that have not ended, newest first. */
export interface List extends Asked {
  readonly type: 'list'
  readonly filter: LiveFilter
  /** Those with a lower `seq`; null: all. */
  readonly before: number | null
  readonly limit: number
}

export type LiveFilter = Omit<JobFilter, 'before' | 'from' | 'limit'>

export interface Status extends Asked {
  readonly type: 'paused' | 'depth' | 'backlog' | 'deployments'
}

export interface LookAtLine extends Asked {
  readonly type: 'line'
  readonly by: RowKind
  readonly most: LineBounds
}

export interface LookAtLimits extends Asked {
  readonly type: 'standing'
  readonly tenant: TenantId
}

export interface LookAtRun extends Asked {
  readonly type: 'run'
  readonly tenant: TenantId
  readonly run: string
}

export interface LookAtFullest extends Asked {
  readonly type: 'fullest'
  readonly tenants: readonly TenantId[]
}

export interface Explain extends Asked {
  readonly type: 'explain'
  readonly ask: RouteAsk
}

export type Query =
  | Hello
  | WasFinished
  | Look
  | List
  | Status
  | LookAtLine
  | LookAtLimits
  | LookAtRun
  | LookAtFullest
  | Explain

// ---------------------------------------------------------------- more commands

/** Nothing more is taken of this tenant for so long, because it is being erased; 0: again it is. */
export interface Bar extends Asked {
  readonly type: 'bar'
  readonly tenant: TenantId
  readonly ms: number
}

/** Nothing is left of this tenant but what it has used of limits. */
export interface Forget extends Asked {
  readonly type: 'forget'
  readonly tenant: TenantId
}

/** Another process than the one that coordinates was reloaded. */
export interface Configure extends Asked {
  readonly type: 'configure'
  readonly models: readonly PlanModel[]
  /** All that decides, as plain data; an older version sends the models alone. */
  readonly settings?: object
}

export type Command =
  | Submit
  | Cancel
  | Seat
  | Leave
  | Draining
  | Finish
  | Hedge
  | Raced
  | Reading
  | Pause
  | Purge
  | Bar
  | Forget
  | Configure

export type Request = Command | Query

/** A request as its sender has it: the bus adds who asks. */
export type Ask = { [R in Request as R['type']]: Omit<R, 'from' | 'n' | 're'> }[Request['type']]

const KINDS: ReadonlyArray<Outcome['kind']> = ['done', 'failed', 'canceled', 'released']
const KIND: Member = (kind) => KINDS.includes(kind as Outcome['kind'])
const RACE = members({ won: oneOf('first', 'second'), end: oneOf('outrun', 'failed', 'canceled', 'released') })
const ASKED: Shape = { from: text, n: count }
const ITEM = members({ id: text, facts: object, bodyBytes: count, isRetry: flag, refused: maybe(object) })
/** One with members of a later version must not match more than it means. */
const SELECTOR: Member = (value) =>
  fits(value, { tenant: maybe(text), lane: maybe(text), model: maybe(text) }) &&
  Object.keys(value as object).every((name) => name === 'tenant' || name === 'lane' || name === 'model')

const LIVE_FILTER = members({
  tenant: maybe(text),
  user: maybe(text),
  lane: maybe(text),
  conversation: maybe(text),
  model: maybe(text),
  run: maybe(text),
  states: maybe(list(text)),
})

const ROW_KINDS: readonly RowKind[] = ['tenant', 'model', 'deployment']
const ROW_KIND: Member = (kind) => ROW_KINDS.includes(kind as RowKind)

const SHAPES: Readonly<Record<Command['type'], Shape>> = {
  submit: { ...ASKED, untilMs: number, lasting: maybe(flag), reserved: maybe(flag), items: list(ITEM) },
  cancel: { ...ASKED, id: text },
  seat: { ...ASKED, worker: text, pools: list(text), slots: count, version: count },
  leave: { ...ASKED, worker: text },
  draining: ASKED,
  finish: {
    ...ASKED,
    worker: text,
    id: text,
    attempt: count,
    head: maybe(count),
    outcome: members({ kind: KIND }),
  },
  hedge: { ...ASKED, worker: text, id: text, attempt: count },
  raced: { ...ASKED, worker: text, id: text, attempt: count, race: RACE },
  reading: { ...ASKED, id: text, here: flag },
  pause: { ...ASKED, selector: SELECTOR },
  resume: { ...ASKED, selector: SELECTOR },
  purge: { ...ASKED, selector: SELECTOR, most: count },
  bar: { ...ASKED, tenant: text, ms: count },
  forget: { ...ASKED, tenant: text },
  configure: { ...ASKED, models: list(object), settings: maybe(object) },
}

const QUERY_SHAPES: Readonly<Record<Query['type'], Shape>> = {
  hello: ASKED,
  finished: { ...ASKED, worker: text, id: text, attempt: count, kind: KIND },
  look: { ...ASKED, ids: list(text) },
  list: { ...ASKED, filter: LIVE_FILTER, before: maybe(count), limit: count },
  paused: ASKED,
  depth: ASKED,
  backlog: ASKED,
  line: { ...ASKED, by: ROW_KIND, most: members({ rows: count, waits: count, runs: count }) },
  standing: { ...ASKED, tenant: text },
  run: { ...ASKED, tenant: text, run: text },
  fullest: { ...ASKED, tenants: list(text) },
  deployments: ASKED,
  explain: {
    ...ASKED,
    ask: members({ model: text, kind: oneOf(...JOB_KINDS), promptTokens: count, draw: text }),
  },
}

export const isQuery = (request: Request | Ask): boolean => Object.hasOwn(QUERY_SHAPES, request.type)

/** What has no limit is Infinity, which JSON writes as null. */
export const writeRequests = (requests: readonly Request[]): string => JSON.stringify(requests.map(packed))

const packed = (command: Request): unknown =>
  command.type !== 'submit'
    ? command
    : { ...command, items: command.items.map((item) => ({ ...item, facts: packFacts(item.facts) })) }

/** Null: a job of it is not what it must be. */
function unpacked(command: Command): Command | null {
  if (command.type !== 'submit') return command
  const items: Item[] = []
  for (const item of command.items) {
    const facts = unpackFacts(item.facts)
    if (facts === null) return null
    items.push({ ...item, facts })
  }
  return { ...command, items }
}

/** Who wants an answer to what this version can't read. */
export type Unread = (asked: { readonly from: string; readonly n: number }) => void

const refusing =
  (unread: Unread) =>
  ({ from, n }: JsonRecord): void => {
    if (typeof from === 'string' && Number.isSafeInteger(n)) unread({ from, n: n as number })
  }

export const readQueries = (message: string, unread: Unread): readonly Query[] =>
  readTyped<Query>(message, QUERY_SHAPES, refusing(unread))

export function readCommands(entry: string, unread: Unread): readonly Command[] {
  const refuse = refusing(unread)
  return readTyped<Command>(entry, SHAPES, refuse).flatMap((command) => {
    const read = unpacked(command)
    if (read === null) refuse(command as unknown as JsonRecord)
    return read === null ? [] : [read]
  })
}

// ---------------------------------------------------------------- outcomes

export type PackedOutcome =
  | Exclude<Outcome, { kind: 'failed' }>
  | (Omit<Extract<Outcome, { kind: 'failed' }>, 'error'> & { readonly error: PackedError })

export const packOutcome = (outcome: Outcome): PackedOutcome =>
  outcome.kind === 'failed' ? { ...outcome, error: packError(outcome.error) } : outcome

export const unpackOutcome = (outcome: PackedOutcome): Outcome =>
  outcome.kind === 'failed' ? { ...outcome, error: unpackError(outcome.error) } : outcome
