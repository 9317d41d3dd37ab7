/** A client's position in a log, and what a frame adds: each record once, in order (PROTOCOL.md section 6). */
import type { EvFrame, WireEvent } from '../../src/core/frames.ts'

export interface Place {
  /** Of the log's incarnation; null: not known yet. */
  readonly cursor: string | null
  /** Records that were applied. */
  readonly seq: number
}

export const START: Place = { cursor: null, seq: 0 }

/** "<epoch>-<seq>", or a bare "<seq>". Null when it is neither. */
export function placeOf(cursor: string): Place | null {
  const match = /^(?:\d+-)?(\d+)$/.exec(cursor)
  return match ? { cursor, seq: Number(match[1]) } : null
}

/** What is new in a run of records; `hole` when records before it are missing. */
export function advance(
  place: Place,
  frame: Pick<EvFrame, 'seq' | 'cursor' | 'e'>,
): { readonly place: Place; readonly events: readonly WireEvent[] } | 'hole' {
  const last = frame.seq + frame.e.length - 1
  if (last <= place.seq) return { place, events: [] }
  if (frame.seq > place.seq + 1) return 'hole'
  return { place: { cursor: frame.cursor, seq: last }, events: frame.e.slice(place.seq + 1 - frame.seq) }
}

/** Of another record of the log that `cursor` is in. */
export const cursorAt = (cursor: string, seq: number): string => `${cursor.slice(0, cursor.indexOf('-') + 1)}${seq}`

/** The earliest cursor of several readers of one job. "0" is the start of a log, whatever its epoch. */
export function firstOf(readers: Iterable<{ readonly cursor: string | null }>): string {
  let first: string | null = null
  for (const { cursor } of readers) {
    if (cursor === null) return '0'
    if (first === null || isBefore(cursor, first)) first = cursor
  }
  return first ?? '0'
}

function isBefore(a: string, b: string): boolean {
  const [a1, a2] = parts(a)
  const [b1, b2] = parts(b)
  return a1 !== b1 ? a1 < b1 : a2 < b2
}

const parts = (cursor: string): readonly [number, number] => {
  const at = cursor.indexOf('-')
  return [at < 0 ? 0 : Number(cursor.slice(0, at)), Number(cursor.slice(at + 1))]
}
