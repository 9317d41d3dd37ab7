import { describe, expect, it } from 'vitest'
import { type Bytes, isEnd, kindOf, payloadOf, toText } from '../../src/core/record.ts'
import { chatDialect } from '../../src/delivery/dialects/chat.ts'
import { renderCompletion } from '../../src/delivery/dialects/completion.ts'
import type { Dialect } from '../../src/delivery/dialects/dialect.ts'
import { nativeDialect } from '../../src/delivery/dialects/native.ts'
import { socketDialect } from '../../src/delivery/dialects/socket.ts'
import { GOLDEN_LOGS } from './logs.ts'

interface SseEvent {
  readonly id: string
  readonly event: string
  readonly data: string
}

/** As a client reads SSE (WHATWG, section 9.2.6). */
function readSse(bytes: Bytes): SseEvent[] {
  return toText(bytes)
    .split('\n\n')
    .filter((b) => b !== '')
    .map((b) => {
      const field = (name: string): string[] =>
        b
          .split('\n')
          .filter((l) => l.startsWith(`${name}: `))
          .map((l) => l.slice(name.length + 2))
      return { id: field('id')[0] ?? '', event: field('event')[0] ?? '', data: field('data').join('\n') }
    })
}

interface Frame {
  readonly t: string
  readonly seq: number
  readonly cursor: string
  readonly e?: readonly object[]
  readonly state?: string
}

/** As a WebSocket client reads frames: each a whole, unmasked text (RFC 6455, section 5.2). */
function readFrames(bytes: Bytes): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; ) {
    expect(bytes.charCodeAt(at)).toBe(0x81)
    const buffer = Buffer.from(bytes.slice(at + 1, at + 10), 'latin1')
    const [length, head] =
      buffer[0] < 126
        ? [buffer[0], 2]
        : buffer[0] === 126
          ? [buffer.readUInt16BE(1), 4]
          : [Number(buffer.readBigUInt64BE(1)), 10]
    frames.push(JSON.parse(toText(bytes.slice(at + head, at + head + length))) as Frame)
    at += head + length
  }
  return frames
}

const JOB = 'job_0'
const DIALECTS: readonly Dialect[] = [chatDialect(false), chatDialect(true), nativeDialect]
const whole = (dialect: Dialect, records: readonly Bytes[]): Bytes =>
  dialect.render({ job: JOB, epoch: 1, firstSeq: 1, records }, 0, dialect.begin).events

describe.each(GOLDEN_LOGS)('$name', ({ records, message, finish }) => {
  it.each(DIALECTS)('resumes at every record in $key', (dialect) => {
    const all = readSse(whole(dialect, records))
    for (let cursor = 0; cursor <= records.length; cursor++) {
      const known = { job: JOB, epoch: 1, firstSeq: 1, records: records.slice(0, cursor) }
      const { state } = dialect.render(known, 0, dialect.begin)
      const rest = readSse(dialect.render({ job: JOB, epoch: 1, firstSeq: 1, records }, cursor, state).events)
      expect(rest).toEqual(all.filter((e) => Number(e.id.split('-')[1]) > cursor))
    }
  })

  it('shows chunks byte for byte in chat SSE, and ends as it ended', () => {
    const reset = records.findIndex((r) => kindOf(r) === 'reset')
    const shown = (reset < 0 ? records : records.slice(0, reset)).filter((r) => kindOf(r) === 'chunk').map(toText)
    const events = readSse(whole(chatDialect(false), records)).map((e) => e.data)
    expect(events.slice(0, -1)).toEqual(shown)
    if (message) expect(events.at(-1)).toBe('[DONE]')
    else
      expect(JSON.parse(events.at(-1)!)).toMatchObject({
        error: { code: reset < 0 ? 'provider_error' : 'stream_restarted' },
      })
  })

  it('shows usage only to those who asked', () => {
    const usage = records.filter((r) => kindOf(r) === 'usage').map((r) => toText(payloadOf(r)))
    const events = (d: Dialect): string[] => readSse(whole(d, records)).map((e) => e.data)
    expect(events(chatDialect(false)).filter((d) => usage.includes(d))).toEqual([])
    expect(events(chatDialect(true)).filter((d) => usage.includes(d))).toEqual(usage)
  })

  it('tells every record in native events', () => {
    const events = readSse(whole(nativeDialect, records))
    expect(events.map((e) => e.event)).toEqual(records.map(kindOf))
    expect(events.map((e) => e.id)).toEqual(records.map((_, i) => `1-${i + 1}`))
    for (const [i, e] of events.entries()) if (!isEnd(records[i])) expect(e.data).toBe(toText(payloadOf(records[i])))
  })

  it('is frames: every record once under its number, in runs of any length', () => {
    const all = readSse(whole(nativeDialect, records)).map((e) => [
      Number(e.id.split('-')[1]),
      e.event,
      JSON.parse(e.data),
    ])
    for (let first = 0; first < records.length; first++) {
      for (const length of [1, 3, records.length]) {
        let state = socketDialect.begin
        const seen: unknown[] = []
        for (let at = first; at < records.length; at += length) {
          const run = { job: JOB, epoch: 1, firstSeq: at + 1, records: records.slice(at, at + length) }
          const rendered = socketDialect.render(run, at, state)
          state = rendered.state
          for (const { t, job, seq, cursor, e = [], ...end } of readFrames(rendered.events) as Array<
            Frame & { job: string }
          >) {
            expect(job).toBe(JOB)
            expect(cursor).toBe(`1-${seq + (t === 'ev' ? e.length - 1 : 0)}`)
            if (t === 'ev')
              for (const [i, event] of e.entries()) seen.push([seq + i, Object.keys(event)[0], Object.values(event)[0]])
            else seen.push([seq, t, end])
          }
        }
        expect(seen).toEqual(all.slice(first))
      }
    }
  })

  it('is one JSON answer', () => {
    const { status, body } = renderCompletion('chat', records)
    const json = JSON.parse(toText(body))
    if (message === null) {
      expect(status).toBe(502)
      expect(json.error.code).toBe('provider_error')
      return
    }
    expect(status).toBe(200)
    expect(json.object).toBe('chat.completion')
    expect(json.id).toBe('chatcmpl-1')
    expect(json.choices[0].message).toEqual(message)
    expect(json.choices[0].finish_reason).toBe(finish)
    // The upstream's own, or what the end record counts where the upstream reported none
    expect(json.usage.completion_tokens).toBe(3)
  })
})
