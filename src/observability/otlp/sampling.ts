/** Which requests are traced: as their callers decided; of those without a trace, a share. */
import { type BeginSpan, childOf, parentOf, type Traceparent } from '../../core/trace.ts'

export type RandomBytes = (bytes: number) => Uint8Array

const TRACE_BYTES = 16
const SPAN_BYTES = 8

/** `share`: 0 to 1. */
export function beginSpans(random: RandomBytes, share: number): BeginSpan {
  const id = (bytes: number): string => {
    const made = random(bytes)
    // All zero is no id
    if (made.every((byte) => byte === 0)) made[bytes - 1] = 1
    return Buffer.from(made.buffer, made.byteOffset, bytes).toString('hex')
  }
  /** By the id's last seven bytes, which others decide by, too: whoever asks for the same share takes the same ones. */
  const isIn = (traceId: string): boolean => Number.parseInt(traceId.slice(18), 16) / 2 ** 56 < share

  return (from) => {
    if (from !== null) return { trace: childOf(from, id(SPAN_BYTES)), parent: parentOf(from) }
    const traceId = id(TRACE_BYTES)
    const trace: Traceparent = `00-${traceId}-${id(SPAN_BYTES)}-${isIn(traceId) ? '01' : '00'}`
    return { trace, parent: null }
  }
}
