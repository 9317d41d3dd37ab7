/** W3C Trace Context: the trace that a request belongs to. Malformed values are ignored, as the recommendation asks. */

/** "00-<trace id>-<parent id>-<flags>", 55 characters, as one of version 00 reads. */
export type Traceparent = string

const LENGTH = 55
/** A later version may be longer, up to this. */
const MAX_CHARS = 256
const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/
const NO_TRACE = '0'.repeat(32)
const NO_PARENT = '0'.repeat(16)

/** Null: absent, malformed, or from several headers. Of a later version only the part that version 00 has is kept. */
export function readTraceparent(given: unknown): Traceparent | null {
  if (typeof given !== 'string' || given.length < LENGTH || given.length > MAX_CHARS) return null
  if (given.length > LENGTH && given[LENGTH] !== '-') return null
  const match = FORM.exec(given.slice(0, LENGTH))
  if (match === null) return null
  const [, version, trace, parent, flags] = match
  if (version === 'ff' || trace === NO_TRACE || parent === NO_PARENT) return null
  if (version === '00') return given.length === LENGTH ? given : null
  // Of other versions only the sampled flag is known
  return `00-${trace}-${parent}-0${Number.parseInt(flags, 16) & 1}`
}

/** The span of something that has a name of its own (a request's id, "job_….2"): whoever knows the name knows it. */
export function spanIdOf(name: string): string {
  // Two 32-bit FNV-1a, one of them of the name in reverse
  let [a, b] = [0x811c9dc5, 0x811c9dc5]
  for (let i = 0; i < name.length; i++) {
    a = Math.imul(a ^ name.charCodeAt(i), 0x01000193)
    b = Math.imul(b ^ name.charCodeAt(name.length - 1 - i), 0x01000193)
  }
  const id = hex(a) + hex(b)
  return id === NO_PARENT ? `${id.slice(1)}1` : id
}

const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0')

/** Of what is done within a span of that trace. */
export const childOf = (trace: Traceparent, spanId: string): Traceparent =>
  `${trace.slice(0, 36)}${spanId}${trace.slice(52)}`

export const traceIdOf = (trace: Traceparent): string => trace.slice(3, 35)

/** The span that what is done within this trace is a child of. */
export const parentOf = (trace: Traceparent): string => trace.slice(36, 52)

export const flagsOf = (trace: Traceparent): number => Number.parseInt(trace.slice(LENGTH - 2, LENGTH), 16)

/** Is it to be recorded? As flagsOf would tell, but asked of each fact. */
export function isSampled(trace: Traceparent): boolean {
  const digit = trace.charCodeAt(LENGTH - 1)
  // Of "a" to "f" the codes are odd where the digits are even
  return (digit & 1) === (digit > 57 ? 0 : 1)
}

/** A span of this server, of a request or of a message on a WebSocket; its id is the parent id of `trace`. */
export interface OwnSpan {
  readonly trace: Traceparent
  /** The caller's span that it is a child of; null: it begins a trace. */
  readonly parent: string | null
}

/** `from`: what the caller sent; null: nothing. */
export type BeginSpan = (from: Traceparent | null) => OwnSpan
