/**
 * One conversation as a chat shows it: its history, the answer being written, queued messages, and messages not
 * accepted yet; the same in every tab. It knows nothing of how it is displayed.
 */
import type { JobRequest, NewsFrame, WatchingFrame, WireJob } from '../../src/core/frames.ts'
import { SluiceError } from './errors.ts'
import type { Job } from './job.ts'
import { mintKey } from './mint-key.ts'
import { createOutbox } from './outbox.ts'
import type { Watcher } from './transport.ts'
import {
  type ChatMessage,
  endOf,
  isOver,
  newTurn,
  type OwnTurn,
  type StoredTurn,
  storedTurn,
  type Turn,
  type TurnPage,
} from './turn.ts'

export interface ConversationOptions {
  /** Members of each request besides its messages: `{ model: 'chat', temperature: 0 }`. */
  readonly request: Readonly<Record<string, unknown>>
  /** Called after each change; `subscribe` adds more listeners. */
  readonly onChange?: () => void
  /** The history could not be read; this is retried when the connection is back. */
  readonly onError?: (error: SluiceError) => void
}

export interface Conversation {
  readonly id: string
  /** Null: it has none yet. */
  readonly name: string | null
  /** In order. The list and its turns are changed in place; `version` changes with them. */
  readonly turns: readonly Turn[]
  /** Grows with each change: `useSyncExternalStore(c.subscribe, () => c.version)`. */
  readonly version: number
  /** False until the history is known. */
  readonly loaded: boolean
  /** There are earlier turns: `older()` reads the next page of them. */
  readonly hasOlder: boolean
  older(): Promise<void>
  /**
   * Returns at once: a message sent during an answer waits in the queue. A text becomes a user message; a list of
   * messages is sent as it is (tool results, images). `options` are those of a job.
   */
  send(content: string | readonly ChatMessage[], options?: Partial<JobRequest>): Turn
  /** Stops an answer, or withdraws a message that waits. Without a turn: the one being answered, or the next. */
  stop(turn?: Turn): Promise<void>
  /** Sends the same messages again, as a new turn. */
  retry(turn: Turn): Turn
  rename(name: string): Promise<void>
  /** Calls `fn` after each change. Returns its stop. */
  subscribe(fn: () => void): () => void
  /** No more updates; its jobs keep running. */
  close(): void
}

/** What it needs of a client. */
interface Server {
  submit(request: JobRequest): Job
  attach(id: string): Job
  watch(conversation: string, watcher: Watcher): () => void
  http(method: string, path: string, body?: unknown): Promise<unknown>
}

export function createConversation(sluice: Server, id: string, options: ConversationOptions): Conversation {
  // By query: not every proxy lets every name through in a path
  const path = `/v1/conversations?id=${encodeURIComponent(id)}`
  const turns: OwnTurn[] = []
  const outbox = createOutbox(id)
  const listeners = new Set<() => void>(options.onChange === undefined ? [] : [options.onChange])
  let name: string | null = null
  let version = 0
  let loaded = false
  let closed = false
  /** Where the page before the first turn begins; null: there is none. */
  let earlier: string | null = null

  const changed = (): void => {
    if (closed) return
    version++
    for (const listener of [...listeners]) listener()
  }

  // ---------------------------------------------------------------- what the server tells

  /** One at a time, in order: each may require a read first. */
  let hearing: Promise<void> = Promise.resolve()
  const unwatch = sluice.watch(id, (frame) => {
    hearing = hearing
      .then(() => (closed ? undefined : frame.t === 'watching' ? stand(frame) : hear(frame)))
      .catch((error: unknown) => void options.onError?.(SluiceError.from(error)))
  })

  async function stand(frame: WatchingFrame): Promise<void> {
    const known = frame.last_turn === null || turns.some((turn) => turn.job === frame.last_turn && isOver(turn))
    if (!known) await readTurns()
    const { data } = frame.more ? await listed() : { data: frame.jobs }
    name = frame.name
    await takeIn(data)
    const first = !loaded
    loaded = true
    if (first)
      for (const { key, request } of outbox.list()) if (!turns.some((turn) => turn.key === key)) submit(key, request)
    changed()
  }

  async function hear({ e }: NewsFrame): Promise<void> {
    if ('submitted' in e) await takeIn([e.submitted])
    else if ('ended' in e) {
      const turn = turns.find(({ job }) => job === e.ended.id)
      if (turn === undefined) await readTurns()
    } else if ('erased' in e) drop((turn) => turn.job === e.erased.job)
    else if ('renamed' in e) name = e.renamed.name
    else {
      drop(isOver)
      earlier = null
      if ('deleted' in e) name = null
      else await readTurns()
    }
    changed()
  }

  function drop(which: (turn: OwnTurn) => boolean): void {
    turns.splice(0, turns.length, ...turns.filter((turn) => !which(turn)))
  }

  /**
   * Reads turns that have ended, from the newest back to one that is known (or one page); failed ones with their
   * reason.
   */
  async function readTurns(): Promise<void> {
    const known = new Set(turns.filter(isOver).map(({ job }) => job))
    const stored: StoredTurn[] = []
    let next: string | null = null
    do {
      const page: TurnPage | null = await pageOf(next)
      if (page === null) return // deleted meanwhile
      stored.unshift(...page.turns)
      next = page.next
    } while (next !== null && known.size > 0 && !stored.some(({ job }) => known.has(job)))
    if (known.size === 0) earlier = next
    place(stored.map((turn) => ({ job: turn.job, make: () => storedTurn(turn) })))
    await readErrors()
  }

  async function older(): Promise<void> {
    const page = earlier === null ? null : await pageOf(earlier)
    if (page === null) return
    earlier = page.next
    turns.unshift(...page.turns.filter(({ job }) => !turns.some((turn) => turn.job === job)).map(storedTurn))
    await readErrors()
    changed()
  }

  async function pageOf(after: string | null): Promise<TurnPage | null> {
    try {
      return (await sluice.http(
        'GET',
        after === null ? path : `${path}&after=${encodeURIComponent(after)}`,
      )) as TurnPage
    } catch (error) {
      if (error instanceof SluiceError && error.code === 'conversation_not_found') return null
      throw error
    }
  }

  const readErrors = async (): Promise<void> =>
    void (await Promise.all(turns.filter((turn) => turn.state === 'failed' && turn.error === null).map(readError)))

  async function readError(turn: OwnTurn): Promise<void> {
    try {
      turn.error = ((await sluice.http('GET', `/v1/jobs/${turn.job}`)) as WireJob).error
    } catch {} // no longer kept
  }

  const listed = async (): Promise<{ readonly data: readonly WireJob[] }> => {
    const query = `conversation=${encodeURIComponent(id)}&state=queued,delayed,waiting,leased&limit=1000`
    const { data } = (await sluice.http('GET', `/v1/jobs?${query}`)) as { readonly data: readonly WireJob[] }
    return { data: data.toReversed() }
  }

  /** Jobs that have not ended, in order. New ones are followed. */
  async function takeIn(jobs: readonly WireJob[]): Promise<void> {
    for (const job of jobs) {
      const own = turns.find((turn) => turn.job === null && turn.key === job.metadata['turn'])
      if (own !== undefined) own.job = job.id
    }
    const unknown = jobs.filter((job) => !turns.some((turn) => turn.job === job.id))
    const requests = new Map(await Promise.all(unknown.map(async (job) => [job.id, await messagesOf(job.id)] as const)))
    place(
      jobs.map((job) => ({
        job: job.id,
        make() {
          const turn = newTurn(job.metadata['turn'] ?? job.id, requests.get(job.id) ?? [])
          turn.job = job.id
          turn.state = 'waiting'
          turn.place = job.queue?.position ?? null
          void follow(turn, sluice.attach(job.id))
          return turn
        },
      })),
    )
  }

  async function messagesOf(job: string): Promise<readonly ChatMessage[]> {
    try {
      return ((await sluice.http('GET', `/v1/jobs/${job}/request`)) as { messages?: ChatMessage[] }).messages ?? []
    } catch (error) {
      if (error instanceof SluiceError && !error.retryable) return [] // erased meanwhile
      throw error
    }
  }

  /** Inserts the missing turns in order, before those that are not accepted. */
  function place(found: ReadonlyArray<{ readonly job: string; make(): OwnTurn }>): void {
    const indexOf = (job: string): number => turns.findIndex((turn) => turn.job === job)
    const firstKnown = found.map(({ job }) => indexOf(job)).find((i) => i >= 0)
    const unsent = turns.findIndex((turn) => turn.job === null)
    let at = firstKnown ?? (unsent < 0 ? turns.length : unsent)
    for (const { job, make } of found) {
      const known = indexOf(job)
      if (known >= at) at = known + 1
      else if (known >= 0) turns.splice(at - 1, 0, ...turns.splice(known, 1))
      else turns.splice(at++, 0, make())
    }
  }

  // ---------------------------------------------------------------- what is sent from here

  function send(messages: readonly ChatMessage[], more: Partial<JobRequest> = {}): Turn {
    const key = more.idempotency_key ?? mintKey()
    const request: JobRequest = {
      ...more,
      request: { ...options.request, ...more.request, messages },
      conversation: id,
      idempotency_key: key,
      metadata: { ...more.metadata, turn: key },
    }
    outbox.add({ key, request })
    const turn = submit(key, request)
    changed()
    return turn
  }

  function submit(key: string, request: JobRequest): OwnTurn {
    const turn = newTurn(key, request.request['messages'] as readonly ChatMessage[])
    turns.push(turn)
    const job = sluice.submit(request)
    job.accepted.then(
      () => outbox.remove(key),
      (error: SluiceError) => error.code !== 'closed' && outbox.remove(key),
    )
    void follow(turn, job)
    return turn
  }

  async function follow(turn: OwnTurn, job: Job): Promise<void> {
    turn.reading = job
    job.accepted.then(
      ({ id: accepted, queue }) => {
        const twin = turns.findIndex((other) => other !== turn && other.job === accepted)
        if (twin >= 0) {
          // It was among the turns before its acceptance arrived
          drop((other) => other === turn)
          turns[turns.findIndex((other) => other.job === accepted)] = turn
        }
        turn.job = accepted
        if (turn.state === 'sending') turn.state = 'waiting'
        turn.place = queue?.position ?? turn.place
        changed()
      },
      () => {}, // the loop below throws the same error
    )
    try {
      for await (const event of job) {
        if (event.type === 'queue') turn.place = event.position
        else if (event.type === 'attempt' || event.type === 'chunk') turn.state = 'answering'
        else if (event.type === 'cut') {
          if (event.chars > 0) turn.cuts.push({ tokens: event.tokens, chars: event.chars, awayMs: null })
        } else if (event.type === 'resumed')
          turn.cuts = turn.cuts.map((cut) => (cut.awayMs === null ? { ...cut, awayMs: event.awayMs } : cut))
        else if (event.type === 'reset' || event.type === 'gap') turn.cuts = []
        else if (event.type === 'end') {
          turn.state = endOf(event.state)
          turn.error = turn.state === 'failed' ? (event.error ?? null) : null
        }
        turn.answer = job.text // follows resets and gaps
        turn.message = job.message
        changed()
      }
    } catch (error) {
      turn.state = 'failed'
      turn.error = SluiceError.from(error)
    }
    turn.reading = null
    turn.place = null
    changed()
  }

  return {
    id,
    turns,
    get name() {
      return name
    },
    get version() {
      return version
    },
    get loaded() {
      return loaded
    },
    get hasOlder() {
      return earlier !== null
    },
    older,
    send: (content, more) => send(typeof content === 'string' ? [{ role: 'user', content }] : content, more),
    async stop(turn) {
      const open = turns.filter((one) => one.reading !== null)
      const one = turn === undefined ? (open.find(({ state }) => state === 'answering') ?? open[0]) : turn
      await turns.find(({ key }) => key === one?.key)?.reading?.cancel()
    },
    retry: (turn) => send(turn.messages),
    async rename(to) {
      await sluice.http('PATCH', path, { name: to })
    },
    subscribe(fn) {
      listeners.add(fn)
      return () => void listeners.delete(fn)
    },
    close() {
      closed = true
      unwatch()
      for (const { reading } of turns) if (reading?.id) reading.detach()
    },
  }
}
