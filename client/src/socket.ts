/**
 * Jobs over one WebSocket: submitted until accepted, followed over any number of connections (PROTOCOL.md section 6).
 */
import type { ErrorFrame, HelloFrame, ServerFrame, WelcomeFrame } from '../../src/core/frames.ts'
import { backoffMs } from './backoff.ts'
import { bytesOf, type ConnectionOptions, createConnection } from './connection.ts'
import { type Deferred, deferred } from './deferred.ts'
import { nothingLeft, SluiceError } from './errors.ts'
import type { Job } from './job.ts'
import { createPace } from './pace.ts'
import { firstOf } from './place.ts'
import type { Transport, TransportEvents, Watcher } from './transport.ts'

/** Submits in flight at once. */
const SUBMITS_IN_FLIGHT = 256
/** Jobs in the first hello, before the server's limit is known. */
const FIRST_RESUMED = 100
const LONGEST_REPORT_MS = 86_400_000
const ENDED = ['done', 'failed', 'canceled', 'expired']

export interface SocketOptions extends ConnectionOptions {
  /** Bytes. */
  readonly window: number
}

/** A job on the server, with one or more readers here. */
interface Followed {
  readonly id: string
  /** Its readers, and the credit that each has given since the attach. */
  readonly readers: Map<Job, number>
  /** Credit sent to the server since then: the slowest reader's. */
  credit: number
  /** An attach is in flight: what is missing comes with it. */
  settling: boolean
}

export function createSocket(options: SocketOptions, events: TransportEvents): Transport {
  /** Jobs that are not over, and those not accepted yet. */
  const jobs = new Set<Job>()
  const byId = new Map<string, Followed>()
  /** Of these: followed by this connection; to be followed. All others wait for their reader. */
  const active = new Set<Followed>()
  const inLine = new Set<Followed>()
  /** To be submitted; and in flight, by frame id. */
  const unsent = new Set<Job>()
  const submits = new Map<string, { readonly job: Job; readonly follow: boolean }>()
  const watchers = new Map<string, Set<Watcher>>()
  /** Of these, not requested on this connection yet. */
  const unwatched = new Set<string>()
  /** Requested and not answered yet, by frame id. */
  const cancels = new Map<string, { readonly job: string; readonly answer: Deferred<void> }>()
  let serial = 0
  let resumed = FIRST_RESUMED
  /** Why no more connections are attempted. */
  let stopped: SluiceError | null = null

  const connection = createConnection(options, { hello, onWelcome, onFrame, onLost, onStop }, events)
  const pace = createPace(
    () => connection.welcome?.max_messages_per_second ?? 0,
    () => pump(),
  )

  // ---------------------------------------------------------------- connections

  function hello(): Pick<HelloFrame, 'window' | 'jobs'> {
    const first = [...inLine].filter(hasRoom).slice(0, resumed)
    for (const followed of first) restart(followed, true)
    const { window } = options
    return first.length === 0
      ? { window }
      : { window, jobs: first.map(({ id, readers }) => ({ job: id, cursor: firstOf(readers.keys()) })) }
  }

  function onWelcome({ max_jobs }: WelcomeFrame): void {
    resumed = max_jobs
    for (const [id, { job }] of cancels) connection.send({ t: 'cancel', id, job })
    for (const conversation of watchers.keys()) unwatched.add(conversation)
    pump()
  }

  function onLost(code: number): void {
    if (code === 4429) resumed = 0 // perhaps the hello resumed too many
    const again = [...submits.values()].map(({ job }) => job)
    submits.clear()
    const others = [...unsent]
    unsent.clear()
    for (const job of [...again, ...others]) unsent.add(job)
    for (const { readers } of active) for (const job of readers.keys()) job.cut()
    active.clear()
    for (const followed of byId.values()) inLine.add(followed)
  }

  function onStop(error: SluiceError): void {
    stopped = error
    finish(error)
    for (const job of jobs) job.fail(error)
    jobs.clear()
  }

  function finish(error: SluiceError): void {
    pace.stop()
    for (const { answer } of cancels.values()) answer.reject(error)
    cancels.clear()
  }

  // ---------------------------------------------------------------- what is sent

  /** Sends whatever can be sent now. */
  function pump(): void {
    const { welcome } = connection
    if (welcome === null) return
    for (const followed of inLine) {
      if (active.size + submits.size >= welcome.max_jobs) break
      inLine.delete(followed)
      if (hasRoom(followed)) attach(followed)
    }
    for (const conversation of unwatched) {
      if (!pace.take()) return
      unwatched.delete(conversation)
      connection.send({ t: 'watch', conversation })
    }
    for (const job of unsent) {
      if (connection.leaving || submits.size >= SUBMITS_IN_FLIGHT || !pace.take()) return
      unsent.delete(job)
      submit(job, welcome)
    }
  }

  function submit(job: Job, welcome: WelcomeFrame): void {
    const id = `s${++serial}`
    const follow = !job.over && active.size + submits.size < welcome.max_jobs
    const frame = { t: 'submit', id, ...(follow ? {} : { follow: false }), ...job.request! } as const
    if (bytesOf(JSON.stringify(frame)) > welcome.max_message_bytes) return void submitByHttp(job)
    submits.set(id, { job, follow })
    connection.send(frame)
  }

  /** Too large for a message; the same job over HTTP. */
  async function submitByHttp(job: Job): Promise<void> {
    try {
      const made = (await options.session.http('POST', '/v1/jobs', job.request)) as { id: string; queue: never }
      job.accept({ job: made.id, joined: false, queue: made.queue })
      follow(job)
    } catch (thrown) {
      const error = SluiceError.from(thrown)
      if (mayRetry(job, error)) later(error, () => unsent.add(job))
      else give(job, error)
    }
  }

  const mayRetry = (job: Job, error: SluiceError): boolean => error.retryable && job.request?.policy !== 'reject'

  function later({ retryAfterMs }: SluiceError, add: () => void): void {
    setTimeout(() => {
      if (stopped !== null) return
      add()
      pump()
    }, retryAfterMs ?? backoffMs(3))
  }

  // ---------------------------------------------------------------- what is followed

  const hasRoom = ({ readers }: Followed): boolean => [...readers.keys()].every((job) => !job.full)

  /** Its job has an id now. */
  function follow(job: Job): void {
    if (job.over) {
      jobs.delete(job)
      return
    }
    const known = byId.get(job.id!)
    const followed = known ?? { id: job.id!, readers: new Map(), credit: 0, settling: false }
    followed.readers.set(job, 0)
    if (known === undefined) byId.set(followed.id, followed)
    if (active.has(followed)) return attach(followed)
    inLine.add(followed)
    pump()
  }

  function restart(followed: Followed, settling: boolean): void {
    active.add(followed)
    inLine.delete(followed)
    followed.settling = settling
    followed.credit = 0
    for (const job of followed.readers.keys()) followed.readers.set(job, 0)
  }

  function attach(followed: Followed): void {
    if (connection.send({ t: 'attach', job: followed.id, cursor: firstOf(followed.readers.keys()) }))
      restart(followed, true)
  }

  /** A reader gave credit, or left. */
  function tellCredit(followed: Followed): void {
    const given = Math.min(...followed.readers.values())
    if (active.has(followed)) {
      const bytes = given - followed.credit
      if (bytes > 0 && connection.send({ t: 'credit', job: followed.id, bytes })) followed.credit = given
    } else if (!inLine.has(followed) && hasRoom(followed)) {
      inLine.add(followed)
      pump()
    }
  }

  function leave(followed: Followed, job: Job): void {
    jobs.delete(job)
    followed.readers.delete(job)
    if (followed.readers.size > 0) return tellCredit(followed)
    byId.delete(followed.id)
    active.delete(followed)
    inLine.delete(followed)
  }

  /** It can't be followed. */
  function give(job: Job, error: SluiceError): void {
    jobs.delete(job)
    job.fail(error)
  }

  // ---------------------------------------------------------------- what is heard

  function onFrame(frame: ServerFrame, bytes: number): void {
    if (frame.t === 'accepted') return accepted(frame)
    if (frame.t === 'ok') {
      cancels.get(frame.id)?.answer.resolve()
      cancels.delete(frame.id)
      return
    }
    if (frame.t === 'watching' || frame.t === 'news') {
      for (const watcher of [...(watchers.get(frame.conversation) ?? [])]) watcher(frame)
      return
    }
    const followed = 'job' in frame && frame.job !== undefined ? byId.get(frame.job) : undefined
    if (frame.t === 'error') return refused(frame, followed)
    if (followed === undefined) return
    if (frame.t === 'attached') followed.settling = false
    for (const job of [...followed.readers.keys()]) hand(frame, bytes, job)
    for (const job of [...followed.readers.keys()]) if (job.over) leave(followed, job)
    if (!byId.has(followed.id)) pump()
  }

  function hand(frame: ServerFrame, bytes: number, job: Job): void {
    switch (frame.t) {
      case 'ev':
        return job.run(frame, bytes)
      case 'end':
        return job.end(frame)
      case 'attached':
        job.resumed()
        // At the end of the log nothing more is sent
        if (job.cursor === frame.cursor && ENDED.includes(frame.state)) job.fail(nothingLeft())
        else if (frame.queue !== null) job.waits(frame.queue)
        return
      case 'queue':
        return job.waits(frame)
      case 'live':
        return job.live()
      case 'gap':
        return job.gap(frame.reason)
    }
  }

  function accepted(frame: Extract<ServerFrame, { t: 'accepted' }>): void {
    const submitted = submits.get(frame.id)
    if (submitted === undefined) return
    submits.delete(frame.id)
    const { job } = submitted
    job.accept(frame)
    if (submitted.follow && !job.over) {
      // Its events come from the start, even if others here read it already
      const followed = byId.get(frame.job) ?? { id: frame.job, readers: new Map(), credit: 0, settling: false }
      byId.set(frame.job, followed)
      followed.readers.set(job, 0)
      restart(followed, false)
    } else {
      if (submitted.follow && !byId.has(frame.job)) connection.send({ t: 'detach', job: frame.job })
      follow(job)
    }
    pump()
  }

  function refused(frame: ErrorFrame, followed: Followed | undefined): void {
    const error = SluiceError.of(frame.error, { retryable: frame.retryable, retryAfterMs: frame.retry_after_ms })
    const { id = '' } = frame
    const submitted = submits.get(id)
    const cancel = cancels.get(id)
    if (cancel !== undefined) {
      cancels.delete(id)
      cancel.answer.reject(error)
    } else if (submitted !== undefined) {
      submits.delete(id)
      const { job } = submitted
      if (error.code === 'draining') unsent.add(job)
      else if (mayRetry(job, error)) later(error, () => unsent.add(job))
      else give(job, error)
      pump()
    } else if (followed !== undefined) {
      active.delete(followed)
      if (error.retryable) later(error, () => byId.has(followed.id) && !active.has(followed) && inLine.add(followed))
      else
        for (const job of [...followed.readers.keys()]) {
          job.fail(error)
          leave(followed, job)
        }
      pump()
    } else events.onError(error)
  }

  return {
    name: 'websocket',
    add(job) {
      if (stopped !== null) return job.fail(stopped)
      jobs.add(job)
      if (job.id !== null) return follow(job)
      unsent.add(job)
      pump()
    },
    jobs: () => [...jobs],
    credit(job, bytes) {
      const followed = job.id === null ? undefined : byId.get(job.id)
      const given = followed?.readers.get(job)
      if (followed === undefined || given === undefined) return
      followed.readers.set(job, given + bytes)
      tellCredit(followed)
    },
    cancel(job) {
      if (stopped !== null) return Promise.reject(stopped)
      const id = `c${++serial}`
      const answer = deferred<void>()
      cancels.set(id, { job: job.id!, answer })
      connection.send({ t: 'cancel', id, job: job.id! })
      return answer.promise
    },
    detach(job) {
      // One not accepted yet is submitted all the same
      const followed = job.id === null ? undefined : byId.get(job.id)
      if (followed === undefined) return
      leave(followed, job)
      if (!byId.has(followed.id)) connection.send({ t: 'detach', job: followed.id })
      pump()
    },
    reattach(job) {
      const followed = job.id === null ? undefined : byId.get(job.id)
      if (followed !== undefined && !followed.settling) attach(followed)
    },
    report: (job, ttftMs) =>
      void (
        job.id !== null && connection.send({ t: 'report', job: job.id, ttft_ms: Math.min(ttftMs, LONGEST_REPORT_MS) })
      ),
    watch(conversation, watcher) {
      const beside = watchers.get(conversation)
      if (beside === undefined) watchers.set(conversation, new Set([watcher]))
      else beside.add(watcher)
      unwatched.add(conversation)
      pump()
    },
    unwatch(conversation, watcher) {
      const beside = watchers.get(conversation)
      if (!beside?.delete(watcher) || beside.size > 0) return
      watchers.delete(conversation)
      if (!unwatched.delete(conversation)) connection.send({ t: 'unwatch', conversation })
    },
    nudge: () => connection.nudge(),
    doubt: () => connection.doubt(),
    close() {
      connection.close()
      stopped = new SluiceError('connection_lost', 'The connection was closed.', { retryable: true })
      finish(stopped)
    },
  }
}
