/** What carries jobs. Both transports take the same jobs and treat them alike. */
import type { NewsFrame, WatchingFrame } from '../../src/core/frames.ts'
import type { SluiceError } from './errors.ts'
import type { Job, Wire } from './job.ts'

/** `waiting`: before the next attempt. `closed`: for good. */
export type State = 'connecting' | 'open' | 'waiting' | 'closed'

export interface TransportEvents {
  onState(state: State): void
  /** Why a connection was lost, or could not be opened. */
  onError(error: SluiceError): void
}

/** The state of a watched conversation, then its news; the state again after each cut. */
export type Watcher = (frame: WatchingFrame | NewsFrame) => void

export interface Transport extends Omit<Wire, 'fetch'> {
  readonly name: 'websocket' | 'sse'
  /** Submits the job, if it has no id yet; then follows it to its end, over any number of connections. */
  add(job: Job): void
  /** Jobs that are not over. */
  jobs(): readonly Job[]
  watch(conversation: string, watcher: Watcher): void
  unwatch(conversation: string, watcher: Watcher): void
  /** The network seems to be back: don't wait any longer. */
  nudge(): void
  /** The network seems to be gone: find out soon. */
  doubt(): void
  close(): void
}
