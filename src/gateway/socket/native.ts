/** `sluice.v1`: PROTOCOL.md section 6. */
import { SluiceError } from '../../core/errors.ts'
import type { ErrorFrame, GoawayFrame } from '../../core/frames.ts'
import { toBytes } from '../../core/record.ts'
import type { JsonBody } from '../http/body.ts'
import type { About } from './about.ts'
import { checkFrame } from './frames.ts'
import type { Peer } from './peer.ts'
import type { Protocol, Talk } from './protocol.ts'
import { hello } from './verbs/hello.ts'
import { perform } from './verbs/index.ts'

export const SOCKET_PATH = '/v1/ws'
export const SUBPROTOCOL = 'sluice.v1'

export const nativeProtocol = (maxMessageBytes: number): Protocol => ({
  path: SOCKET_PATH,
  subprotocol: SUBPROTOCOL,
  letsStrangersIn: true,
  maxMessageBytes,
  tooLarge: () => new SluiceError('message_too_large'),
  begin: (peer) => new NativeTalk(peer),
})

class NativeTalk implements Talk {
  readonly #peer: Peer

  constructor(peer: Peer) {
    this.#peer = peer
  }

  take(body: JsonBody): void | Promise<void> {
    const peer = this.#peer
    const frame = checkFrame(body.value)
    if (frame.t === 'hello') return hello(peer, frame)
    const { caller } = peer
    if (caller === null)
      return peer.refuseEntry(
        new SluiceError('missing_api_key', { message: 'Send hello first, with a key, a ticket or a token.' }),
        frame as About,
      )
    peer.context.auth.check(caller)
    perform(peer, frame, caller, body)
  }

  error(error: SluiceError, { id, job }: About) {
    const frame: ErrorFrame = {
      t: 'error',
      ...(typeof id === 'string' ? { id: id.slice(0, 128) } : {}),
      ...(typeof job === 'string' ? { job: job.slice(0, 128) } : {}),
      error: error.wire,
      retryable: error.retryable,
      ...(error.retryAfterMs === undefined ? {} : { retry_after_ms: Math.max(1, Math.ceil(error.retryAfterMs)) }),
    }
    return toBytes(JSON.stringify(frame))
  }

  get isIdle(): boolean {
    return this.#peer.following.size === 0
  }

  leave(goaway: GoawayFrame): void {
    this.#peer.send(goaway)
  }

  end(): void {}
}
