/** A job's log, read through either door, in one form: what came by frames must be what came by SSE. */
import { expect } from 'vitest'
import type { Said } from './peer.ts'

/** A record as a client gets it. */
export interface Logged {
  readonly cursor: string
  readonly kind: string
  readonly data: unknown
}

/** Native events (PROTOCOL.md section 5) of a whole SSE body. */
export function recordsOfSse(body: string): Logged[] {
  return body
    .split('\n\n')
    .map(
      (block) =>
        new Map(
          block
            .split('\n')
            .map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)] as const),
        ),
    )
    .filter((fields) => fields.has('data'))
    .map((fields) => ({
      cursor: fields.get('id') ?? '',
      kind: fields.get('event') ?? '',
      data: JSON.parse(fields.get('data')!) as unknown,
    }))
}

export const seqOf = (cursor: string): number => Number(cursor.slice(cursor.indexOf('-') + 1))

/**
 * The records of one job in `ev` and `end` frames, which must begin after `after` and have no gap; nothing comes
 * after the end.
 */
export function recordsOfFrames(frames: readonly Said[], job: string, after = 0): Logged[] {
  const records: Logged[] = []
  let seq = after
  let ended = false
  for (const frame of frames) {
    if (frame['job'] !== job || (frame.t !== 'ev' && frame.t !== 'end')) continue
    expect(ended, 'a record behind the end').toBe(false)
    expect(frame['seq'], `the number of the next record of ${job}`).toBe(seq + 1)
    const epoch = (frame['cursor'] as string).split('-')[0]
    if (frame.t === 'ev') {
      for (const event of frame['e'] as Array<Record<string, unknown>>) {
        const [[kind, data], ...more] = Object.entries(event)
        expect(more).toEqual([])
        records.push({ cursor: `${epoch}-${++seq}`, kind, data })
      }
    } else {
      const { t: _t, job: _job, seq: _seq, cursor: _cursor, ...data } = frame
      records.push({ cursor: `${epoch}-${++seq}`, kind: 'end', data })
      ended = true
    }
    expect(frame['cursor'], 'the cursor is that of the last record').toBe(`${epoch}-${seq}`)
  }
  return records
}

/** The text that a client shows. */
export function textOf(records: readonly Logged[]): string {
  let text = ''
  for (const { kind, data } of records) {
    if (kind === 'reset') text = ''
    if (kind === 'chunk')
      text += (data as { choices?: Array<{ delta?: { content?: string | null } }> }).choices?.[0]?.delta?.content ?? ''
  }
  return text
}
