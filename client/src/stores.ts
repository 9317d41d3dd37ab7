/**
 * What is live as values: a conversation, a job. A value never changes, and a part that is as before is the same object
 * as before. Those who subscribe are told at most sixty times a second, however fast a model writes.
 */
import type { JobRequest, WirePlace } from '../../src/core/frames.ts'
import type { Sluice } from './connect.ts'
import type { Conversation } from './conversation.ts'
import { SluiceError } from './errors.ts'
import type { Job } from './job.ts'
import type { ChatMessage, Turn, TurnState } from './turn.ts'
import { endOf, isOver } from './turn.ts'

const TOLD_EVERY_MS = 16

export interface Store<T> {
  readonly value: T
  /** Calls `fn` after each change. Returns its stop. */
  subscribe(fn: () => void): () => void
}

/** Reads it anew after each `change()`; `first` and `last`: when somebody subscribes, and when nobody does any more. */
function storeOf<T>(initial: T, read: (before: T) => T, first: () => void, last: () => void) {
  const listeners = new Set<() => void>()
  let value = initial
  let isDue = false
  const tell = (): void => {
    isDue = false
    const before = value
    value = read(before)
    if (value !== before) for (const listener of [...listeners]) listener()
  }
  return {
    get value() {
      return value
    },
    subscribe(fn: () => void): () => void {
      const own = (): void => fn() // the same function may subscribe twice
      listeners.add(own)
      if (listeners.size === 1) first()
      return () => {
        if (listeners.delete(own) && listeners.size === 0) last()
      }
    },
    change() {
      if (!isDue) setTimeout(tell, TOLD_EVERY_MS)
      isDue = true
    },
  }
}

/** `before`, if all its members are the same. */
function sameOr<T extends object>(before: T | undefined, now: T): T {
  const keys = Object.keys(now) as Array<keyof T>
  return before !== undefined && keys.every((key) => Object.is(before[key], now[key])) ? before : now
}

// ---------------------------------------------------------------- a conversation

export interface ConversationState {
  /** Past, running, waiting, and those not accepted yet, in order. */
  readonly turns: readonly Turn[]
  /** `loading`: the history is not known yet. `waiting`: in line. `ready`: nothing is under way. */
  readonly status: 'loading' | 'waiting' | 'answering' | 'ready'
  /** Of the next turn that waits: its position in line; 1 = next. Null: none waits, or nobody knows. */
  readonly place: number | null
  /** As the server keeps it. */
  readonly name: string | null
  /** There are earlier turns: `older()` reads them. */
  readonly hasOlder: boolean
  /** Why it could not be read. */
  readonly error: SluiceError | null
}

export interface ConversationStore extends Store<ConversationState> {
  /** As those of a Conversation; they do nothing, or throw `closed`, while nobody has subscribed. */
  send(content: string | readonly ChatMessage[], options?: Partial<JobRequest>): Turn
  stop(turn?: Turn): Promise<void>
  older(): Promise<void>
  rename(name: string): Promise<void>
}

export const NO_TURNS: ConversationState = {
  turns: [],
  status: 'loading',
  place: null,
  name: null,
  hasOlder: false,
  error: null,
}

const open = new WeakMap<Sluice, Map<string, ConversationStore>>()

/** One for all who show the same conversation; it is closed when nobody does, and its jobs go on. */
export function conversationStore(sluice: Sluice, id: string): ConversationStore {
  const stores = open.get(sluice) ?? new Map<string, ConversationStore>()
  open.set(sluice, stores)
  const known = stores.get(id)
  if (known !== undefined) return known
  const made = createConversationStore(sluice, id, stores)
  stores.set(id, made)
  return made
}

function createConversationStore(sluice: Sluice, id: string, stores: Map<string, ConversationStore>) {
  let conversation: Conversation | null = null
  let error: SluiceError | null = null
  const store = storeOf(
    NO_TURNS,
    (before) => (conversation === null ? before : stateOf(conversation, error, before)),
    begin,
    end,
  )
  function begin(): void {
    stores.set(id, made)
    conversation = sluice.conversation(id, {
      request: {},
      onChange() {
        error = null
        store.change()
      },
      onError(why) {
        error = why
        store.change()
      },
    })
  }
  function end(): void {
    conversation?.close()
    conversation = null
    if (stores.get(id) === made) stores.delete(id)
  }
  const opened = (): Conversation => {
    if (conversation === null) throw new SluiceError('closed', 'This conversation is not shown any more.')
    return conversation
  }
  const made: ConversationStore = {
    get value() {
      return store.value
    },
    subscribe: store.subscribe,
    send: (content, options) => opened().send(content, options),
    async stop(turn) {
      // A turn here is a value, and there the turn itself
      await conversation?.stop(conversation.turns.find(({ key }) => key === turn?.key))
    },
    async older() {
      await conversation?.older()
    },
    async rename(name) {
      await opened().rename(name)
    },
  }
  return made
}

function stateOf(
  { turns: live, loaded, name, hasOlder }: Conversation,
  error: SluiceError | null,
  before: ConversationState,
): ConversationState {
  const known = new Map(before.turns.map((turn) => [turn.key, turn]))
  const all = live.map((turn) => viewOf(turn, known.get(turn.key)))
  const isSame = all.length === before.turns.length && all.every((turn, i) => turn === before.turns[i])
  const turns = isSame ? before.turns : all
  const active = turns.filter((turn) => !isOver(turn))
  const isAnswering = active.some(({ state }) => state === 'answering')
  const status = isAnswering ? 'answering' : active.length > 0 ? 'waiting' : loaded ? 'ready' : 'loading'
  const place = active.find(({ place: at }) => at !== null)?.place ?? null
  return sameOr(before, { turns, status, place, name, hasOlder, error })
}

/** The live turn's message and cuts grow in place, while it is answered. */
function viewOf(turn: Turn, before: Turn | undefined): Turn {
  const { key, job, state, messages, question, answer, place, error } = turn
  const plain = { key, job, state, messages, question, answer, place, error }
  if (before !== undefined && state !== 'answering') {
    const { message, cuts } = before
    if (sameOr(before, { ...plain, message, cuts }) === before) return before
  }
  return { ...plain, message: copyOf(turn.message), cuts: turn.cuts.map((cut) => ({ ...cut })) }
}

/** Of JSON. */
function copyOf<T>(value: T): T {
  if (Array.isArray(value)) return value.map(copyOf) as T
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, copyOf(member)])) as T
}

// ---------------------------------------------------------------- a job

export interface JobView {
  /** Null until it is accepted. */
  readonly id: string | null
  readonly state: TurnState
  /** Of the first choice, so far. */
  readonly text: string
  /** Its position in line; 1 = next. Null: it does not wait, or nobody knows. */
  readonly place: number | null
  /** The limit that it waits for. */
  readonly waitingFor: NonNullable<WirePlace['waiting_for']> | null
  readonly error: SluiceError | null
}

export const NO_JOB: JobView = { id: null, state: 'sending', text: '', place: null, waitingFor: null, error: null }

const followed = new WeakMap<Job, Store<JobView>>()

/** One for all who show the same job. It follows the job to its end, whoever looks. */
export function jobStore(job: Job): Store<JobView> {
  const known = followed.get(job)
  if (known !== undefined) return known
  let state: TurnState = 'sending'
  let error: SluiceError | null = null
  let isFollowed = false
  const store = storeOf(NO_JOB, read, begin, () => {})
  function read(before: JobView): JobView {
    const { id, text, queue } = job
    const queued = state === 'waiting' ? queue : null
    const [place, waitingFor] = [queued?.position ?? null, queued?.waiting_for ?? null]
    return sameOr(before, { id, state, text, place, waitingFor, error })
  }
  function begin(): void {
    if (isFollowed) return
    isFollowed = true
    job.accepted.then(
      () => {
        if (state === 'sending') state = 'waiting'
        store.change()
      },
      () => {}, // the loop below throws the same error
    )
    void follow()
  }
  async function follow(): Promise<void> {
    try {
      for await (const event of job) {
        if (event.type === 'attempt' || event.type === 'chunk') state = 'answering'
        else if (event.type === 'end') {
          state = endOf(event.state)
          error = state === 'failed' && event.error ? SluiceError.of(event.error) : null
        }
        store.change()
      }
    } catch (thrown) {
      state = 'failed'
      error = SluiceError.from(thrown)
      store.change()
    }
  }
  followed.set(job, store)
  return store
}
