/** The `ws` package, as Sluice uses it: what a peer may send is bounded, and nothing is compressed. */
import { createRequire } from 'node:module'
import type { WebSocketServer } from 'ws'

/** How long a peer may take to answer our close. */
const CLOSE_TIMEOUT_MS = 2_000
/** Of a message, and pieces in which one frame may come: each costs more than its bytes. */
const MAX_FRAGMENTS = 1_000
const MAX_PIECES = 2_048

/** The package is loaded for the first connection: a start does not wait for it, and many servers never need it. */
export function createSocketServer(subprotocol: string | null, maxMessageBytes: number): WebSocketServer {
  const { WebSocketServer } = createRequire(import.meta.url)('ws') as typeof import('ws')
  return new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    autoPong: false, // a ping is a message: it counts
    // A little more than allowed can still be told why it is refused
    maxPayload: maxMessageBytes * 2,
    maxFragments: MAX_FRAGMENTS,
    maxBufferedChunks: MAX_PIECES,
    ...{ closeTimeout: CLOSE_TIMEOUT_MS }, // not in its types yet
    handleProtocols: () => subprotocol ?? false,
  })
}
