/** What is spoken over a WebSocket: connections, their limits and their end are the same for all. */
import type { SluiceError } from '../../core/errors.ts'
import type { GoawayFrame } from '../../core/frames.ts'
import type { Dialect } from '../../core/ports/dialect.ts'
import type { Bytes } from '../../core/record.ts'
import type { JsonBody } from '../http/body.ts'
import type { About } from './about.ts'
import type { Peer } from './peer.ts'

export interface Protocol {
  readonly path: string
  /** To be offered by clients; null: none is, and a client that offers some gets none. */
  readonly subprotocol: string | null
  /** May a connection open before its caller is known? Its first message then tells. */
  readonly letsStrangersIn: boolean
  readonly maxMessageBytes: number
  /** For a larger one. */
  tooLarge(): SluiceError
  /** How a refused upgrade is spelled; absent: as Sluice does. */
  readonly errors?: Pick<Dialect, 'error' | 'errorType'>
  begin(peer: Peer): Talk
}

/** Of one connection. */
export interface Talk {
  /**
   * A message in which no member is there twice. While what it returns is pending, the next ones wait. What it throws
   * is told to the client.
   */
  take(body: JsonBody): void | Promise<void>
  /** As text. */
  error(error: SluiceError, about: About): Bytes
  /** It has nothing to do that its client waits for. */
  readonly isIdle: boolean
  /** The server stops. */
  leave(goaway: GoawayFrame): void
  /** The connection is over. */
  end(): void
}
