/** What carries jobs. Both transports take the same jobs and speak to them in the same way. */
import type { NewsFrame, WatchingFrame } from '../../src/core/frames.ts'
import type { SluiceError } from './errors.ts'
import type { Job, Wire } from './job.ts'

/** `waiting`: between two tries. `closed`: for good. */
export type State = 'connecting' | 'open' | 'waiting' | 'closed'

export interface TransportEvents {
  onState(state: State): void
  /** Why a connection was lost, or could not be had. */
  onError(error: SluiceError): void
}

/** How a watched conversation stands, then its news; how it stands again after each cut. */
export type Watcher = (frame: WatchingFrame | NewsFrame) => void

export interface Transport extends Wire {
  readonly name: 'websocket' | 'sse'
  /** Submits it, if it has no id yet; then follows it to its end, over any number of connections. */
  add(job: Job): void
  /** Those that are not over. */
  jobs(): readonly Job[]
  watch(conversation: string, watcher: Watcher): void
  unwatch(conversation: string, watcher: Watcher): void
  /** Something says that the network is back: don't wait any longer. */
  nudge(): void
  /** Something says that the network is gone: don't wait long to find out. */
  doubt(): void
  close(): void
}
