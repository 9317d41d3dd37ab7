/** From the log to readers: replay, then live. */
import type { SluiceError, WireError } from '../errors.ts'
import type { Job, JobId } from '../job.ts'
import type { TtftParts } from '../measure.ts'
import type { Bytes, Cursor } from '../record.ts'
import type { Dialect, Rendering, Reply, StreamForm } from './dialect.ts'

/** An HTTP response that becomes a stream of events, or a whole answer. */
export interface EventSink {
  /** The stream has begun. */
  readonly started: boolean
  /** Bytes that the peer has not taken yet. */
  readonly buffered: number
  /** `onWritten` is called whenever the peer has taken a write, `onClose` once there is no peer. */
  open(onWritten: () => void, onClose: () => void): void
  start(): void
  /** Whole events only. Starts the stream. */
  write(events: Bytes): void
  /** The last events, and the end. `error`: they tell that the job has not ended well. */
  end(events: Bytes, error?: WireError): void
  /** Ends a stream so that its client cannot take it for complete. */
  cut(): void
  /** Instead of a stream. */
  reply(reply: Reply, error?: WireError): void
  fail(error: SluiceError): void
}

export interface ReaderRequest {
  readonly job: Job
  readonly form: StreamForm
  /** Null: from the start. Known to be well formed; whether it fits the log is checked here. */
  readonly cursor: Cursor | null
  readonly sink: EventSink
  /** This request submitted the job: sending it again may help, while reading an ended job again does not. */
  readonly submits: boolean
  /** Send the headers after this at the latest; null = at once. */
  readonly headersAfterMs: number | null
  /** What follows the last event is an empty stream. Absent: it is 204, by which an EventSource stops. */
  readonly endsEmpty?: boolean
  /** Nothing that names a cursor is written before this. */
  readonly ready: Promise<void>
  /** The reader left, or its stream was closed by us (drain), before the end. */
  onGone(): void
  /** The reader has everything. */
  onDone(): void
}

/**
 * A connection that many readers share, as they see it. Whole frames; what is written in one turn leaves in one write.
 */
export interface FrameSink {
  write(frames: Bytes): void
  /** It accepts nothing more now. */
  readonly full: boolean
  /**
   * Bytes that may be read for this reader now, at most `most`; they count as written until they are released. 0: it is
   * full, and the reader is told to `resume` when its turn has come: those that waited longest first.
   */
  claim(most: number, reader: SocketReader): number
  release(claimed: number): void
}

/** A reader of one job, on a connection that others share. */
export interface SocketReaderRequest {
  readonly job: Job
  readonly form: StreamForm
  readonly cursor: Cursor | null
  readonly sink: FrameSink
  /** Bytes of `ev` frames that may be written before there is credit for more; Infinity = no limit. */
  readonly window: number
  /** Send a `live` frame when it has caught up? */
  readonly tellsLive: boolean
  /** It can't be read (any longer): cursor_ahead, job_gone, … Nothing follows. */
  onFail(error: SluiceError): void
  /** `complete`: it has everything. Otherwise delivery was closed. Nothing follows. */
  onOver(complete: boolean): void
}

export interface SocketReader {
  /** Has any of its records been written? */
  readonly started: boolean
  credit(bytes: number): void
  /** The sink has room again. */
  resume(): void
  /** Stops it; nothing is called after this. */
  leave(): void
}

/** A job as it was found: with that, a log that was lost is told from one that was erased. */
export type FoundJob = Pick<Job, 'id' | 'epoch' | 'state'>

/** When a job's first text came to this process, and where the time until then went. */
export interface FirstText {
  readonly receivedMono: number
  readonly parts: TtftParts
}

export interface Delivery {
  /** A job's first text came to this process; its first live reader is told how long it took from there. */
  received(job: JobId, parts: TtftParts): void
  /** Of a job that is read here; null: it has none yet, it came before its reader, or it runs elsewhere. */
  firstText(job: JobId): FirstText | null
  /** Writes the job's frames after the cursor to the sink until the end. */
  follow(reader: SocketReaderRequest): SocketReader
  /** Streams the job's events to the sink until the end. What fails before the first event is an answer of its own. */
  stream(reader: ReaderRequest): void
  /** The whole answer, once the job has ended and its end is power-safe. */
  result(job: Rendering & FoundJob, dialect: Pick<Dialect, 'name' | 'whole'>): Promise<Reply>
  /**
   * Calls `fn` once the end may be shown, soon if the job has ended already, or is not there any more. Returns a
   * function that stops it.
   */
  ended(job: FoundJob, fn: () => void): () => void
  /** Ends all streams at a record boundary (drain). */
  close(): void
}
