/** What carries jobs. Both transports take the same jobs and speak to them in the same way. */
import type { SluiceError } from './errors.ts'
import type { Job, Wire } from './job.ts'

/** `waiting`: between two tries. `closed`: for good. */
export type State = 'connecting' | 'open' | 'waiting' | 'closed'

export interface TransportEvents {
  onState(state: State): void
  /** Why a connection was lost, or could not be had. */
  onError(error: SluiceError): void
}

export interface Transport extends Wire {
  readonly name: 'websocket' | 'sse'
  /** Submits it, if it has no id yet; then follows it to its end, over any number of connections. */
  add(job: Job): void
  /** Those that are not over. */
  jobs(): readonly Job[]
  /** Something says that the network is back: don't wait any longer. */
  nudge(): void
  close(): void
}
