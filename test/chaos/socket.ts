/**
 * A WebSocket client as PROTOCOL.md section 6 describes one, and no more: it writes down each record as it came, so
 * that what came twice, or not at all, is seen. It shares no code with @sluice/client.
 */
import WebSocket from 'ws'
import type { Seen } from './history.ts'

export interface Followed {
  readonly job: string
  /** All it was shown, over all its connections. */
  readonly seen: Seen[]
  complete: boolean
  /** It was refused for good: the code of the error. */
  refused?: string
}

/** A server that says nothing for so long, not even a ping, is taken for dead. */
const PATIENCE_MS = 60_000

export interface Submit {
  readonly idempotency_key: string
  readonly [member: string]: unknown
}

type Frame = { readonly t: string; readonly [member: string]: any }

/** Not at its end, and not refused for good: what a client resumes. */
export const isOpen = ({ complete, refused }: Followed): boolean => !complete && refused === undefined

/** After a `gap` there is none, until something follows it. */
const cursorOf = ({ seen }: Followed): { cursor?: string } => {
  const id = seen.at(-1)?.id ?? ''
  return id === '' ? {} : { cursor: id }
}

/**
 * Writes down what a frame says of a job. Nothing is left out: an `ev` that repeats something would be seen in the
 * history.
 */
function note(followed: Followed, frame: Frame): void {
  const epoch = String(frame['cursor']).split('-')[0]
  const atMs = performance.now()
  if (frame.t === 'ev') {
    ;(frame['e'] as object[]).forEach((event, i) => {
      const [kind, value] = Object.entries(event)[0]
      followed.seen.push({ id: `${epoch}-${frame['seq'] + i}`, event: kind, data: JSON.stringify(value), atMs })
    })
  } else if (frame.t === 'end') {
    const { t: _t, job: _job, seq: _seq, cursor, ...end } = frame
    followed.seen.push({ id: cursor as string, event: 'end', data: JSON.stringify(end), atMs })
    followed.complete = true
  } else if (frame.t === 'gap')
    followed.seen.push({ id: '', event: 'gap', data: JSON.stringify(frame['reason']), atMs })
}

/** One connection, until it is lost: by the server, or by itself after so many bytes. */
class Connection {
  readonly #ws: WebSocket
  readonly #lost: Promise<void>
  #bytes = 0
  onFrame: (frame: Frame) => void = () => {}

  constructor(url: string, key: string, hello: object, cutAfterBytes: number, patienceMs = PATIENCE_MS) {
    this.#ws = new WebSocket(`${url.replace('http', 'ws')}/v1/ws`, 'sluice.v1')
    this.#ws.on('open', () => this.send({ t: 'hello', auth: { key }, ...hello }))
    this.#ws.on('message', (data: Buffer) => {
      this.#bytes += data.length
      // What was on its way when the line went dead is lost
      if (this.#bytes > cutAfterBytes) this.cut()
      else this.onFrame(JSON.parse(data.toString()) as Frame)
    })
    this.#ws.on('error', () => {})
    const silent = setTimeout(() => this.cut(), patienceMs)
    for (const sign of ['open', 'message', 'ping']) this.#ws.on(sign, () => silent.refresh())
    this.#lost = new Promise((lost) => this.#ws.once('close', () => lost()))
    void this.#lost.then(() => clearTimeout(silent))
  }

  send(frame: object): void {
    if (this.#ws.readyState === WebSocket.OPEN) this.#ws.send(JSON.stringify(frame))
  }

  cut(): void {
    this.onFrame = () => {}
    this.#ws.terminate()
  }

  lost(): Promise<void> {
    return this.#lost
  }
}

/**
 * Reads jobs on one connection until none goes on, or it is lost. All are resumed in its hello; `more` is asked for
 * another whenever one is over. Returns whether none goes on; what was refused but may be tried again is left to the
 * next connection.
 */
export async function readOnce(
  url: string,
  key: string,
  jobs: readonly Followed[],
  cutAfterBytes: number,
  more: () => Followed | null = () => null,
  patienceMs = PATIENCE_MS,
): Promise<boolean> {
  const open = new Map(jobs.filter(isOpen).map((j) => [j.job, j]))
  if (open.size === 0) return true
  const connection = new Connection(
    url,
    key,
    { jobs: [...open.values()].map((j) => ({ job: j.job, ...cursorOf(j) })) },
    cutAfterBytes,
    patienceMs,
  )
  connection.onFrame = (frame) => {
    const followed = open.get(frame['job'] as string)
    if (followed === undefined) return
    if (frame.t === 'error' && frame['retryable'] === true) return connection.cut()
    if (frame.t === 'error') followed.refused = frame['error'].code as string
    note(followed, frame)
    if (isOpen(followed)) return
    open.delete(followed.job)
    const next = more()
    if (next !== null) {
      open.set(next.job, next)
      connection.send({ t: 'attach', job: next.job })
    }
    if (open.size === 0) connection.cut()
  }
  await connection.lost()
  return open.size === 0
}

/** Submits on one connection, until all are answered or it is lost. `acknowledged` is told the idempotency key. */
export async function submitOnce(
  url: string,
  key: string,
  submits: readonly Submit[],
  acknowledged: (key: string, job: string) => void,
  cutAfterBytes = Infinity,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const left = new Set(submits.map((s) => s.idempotency_key))
  if (left.size === 0) return
  const connection = new Connection(url, key, {}, cutAfterBytes, patienceMs)
  connection.onFrame = (frame) => {
    if (frame.t === 'welcome')
      for (const submit of submits)
        if (left.has(submit.idempotency_key))
          connection.send({ t: 'submit', id: submit.idempotency_key, follow: false, ...submit })
    if (frame.t !== 'accepted' && frame.t !== 'error') return
    if (frame.t === 'accepted') acknowledged(frame['id'] as string, frame['job'] as string)
    left.delete(frame['id'] as string)
    if (left.size === 0) connection.cut()
  }
  await connection.lost()
}

/**
 * Submits one job and follows it on the same connection; the cut may come at any moment, also before the
 * acknowledgement.
 */
export async function submitAndRead(
  url: string,
  key: string,
  submit: Submit,
  cutAfterBytes: number,
): Promise<Followed | null> {
  let followed: Followed | null = null
  const connection = new Connection(url, key, {}, cutAfterBytes)
  connection.onFrame = (frame) => {
    if (frame.t === 'welcome') connection.send({ t: 'submit', id: 's', ...submit })
    else if (frame.t === 'accepted') followed = { job: frame['job'] as string, seen: [], complete: false }
    else if (followed !== null && frame['job'] === followed.job) note(followed, frame)
    if (followed?.complete) connection.cut()
  }
  await connection.lost()
  return followed
}
