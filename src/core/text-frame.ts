/** How a server frames text on a WebSocket: RFC 6455 section 5.2, unfragmented and unmasked. */
import type { Bytes } from './record.ts'

const TEXT = 0x81

/** `payload`: a binary string of UTF-8, below 4 GiB. The frame is one too, ready for the socket. */
export function textFrame(payload: Bytes): Bytes {
  const n = payload.length
  if (n < 126) return String.fromCharCode(TEXT, n) + payload
  if (n < 65_536) return String.fromCharCode(TEXT, 126, n >> 8, n & 255) + payload
  return String.fromCharCode(TEXT, 127, 0, 0, 0, 0, n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255) + payload
}

/** Bytes of the text in a frame of that many bytes. */
export const textBytesOf = (frameBytes: number): number =>
  frameBytes - (frameBytes < 128 ? 2 : frameBytes < 65_540 ? 4 : 10)
