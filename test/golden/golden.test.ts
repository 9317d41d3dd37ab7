import { describe, expect, it } from 'vitest'
import type { Rendering, StreamForm } from '../../src/core/ports/dialect.ts'
import { type Bytes, isEnd, kindOf, payloadOf, toText } from '../../src/core/record.ts'
import { chat } from '../../src/dialects/chat/chat.ts'
import { DIALECTS } from '../../src/dialects/index.ts'
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

const JOB: Rendering = {
  id: 'job_0',
  tenant: 'default',
  kind: 'chat',
  dialect: 'chat',
  model: 'demo',
  acceptedAtMs: 1_750_000_000_000,
}
interface Shown {
  readonly name: string
  readonly form: StreamForm
  readonly job: Rendering
}
const plain: Shown = { name: 'chat', form: chat.stream!, job: JOB }
const withUsage: Shown = { ...plain, name: 'chat with usage', job: { ...JOB, shownAs: { include_usage: true } } }
const native: Shown = { name: 'native', form: DIALECTS.events, job: JOB }
const run = (records: readonly Bytes[], firstSeq = 1) => ({ job: JOB.id, epoch: 1, firstSeq, records })
const whole = ({ form, job }: Shown, records: readonly Bytes[]): Bytes =>
  form.render(run(records), form.begin(job), 0).events

describe.each(GOLDEN_LOGS)('$name', ({ records, message, finish }) => {
  it.each([plain, withUsage, native])('resumes at every record in $name', ({ form, job, name }) => {
    const all = readSse(whole({ form, job, name }, records))
    for (let cursor = 0; cursor <= records.length; cursor++) {
      const rest = readSse(form.render(run(records), form.begin(job), cursor).events)
      expect(rest).toEqual(all.filter((e) => Number(e.id.split('-')[1]) > cursor))
    }
  })

  it('shows chunks byte for byte in chat SSE, and ends as it ended', () => {
    const reset = records.findIndex((r) => kindOf(r) === 'reset')
    const shown = (reset < 0 ? records : records.slice(0, reset)).filter((r) => kindOf(r) === 'chunk').map(toText)
    const events = readSse(whole(plain, records)).map((e) => e.data)
    expect(events.slice(0, -1)).toEqual(shown)
    if (message) expect(events.at(-1)).toBe('[DONE]')
    else
      expect(JSON.parse(events.at(-1)!)).toMatchObject({
        error: { code: reset < 0 ? 'provider_error' : 'stream_restarted' },
      })
  })

  it('shows usage only to those who asked', () => {
    const usage = records.filter((r) => kindOf(r) === 'usage').map((r) => toText(payloadOf(r)))
    const events = (shown: Shown): string[] => readSse(whole(shown, records)).map((e) => e.data)
    expect(events(plain).filter((d) => usage.includes(d))).toEqual([])
    expect(events(withUsage).filter((d) => usage.includes(d))).toEqual(usage)
  })

  it('tells every record in native events', () => {
    const events = readSse(whole(native, records))
    expect(events.map((e) => e.event)).toEqual(records.map(kindOf))
    expect(events.map((e) => e.id)).toEqual(records.map((_, i) => `1-${i + 1}`))
    for (const [i, e] of events.entries()) if (!isEnd(records[i])) expect(e.data).toBe(toText(payloadOf(records[i])))
  })

  it('is frames: every record once under its number, in runs of any length', () => {
    const all = readSse(whole(native, records)).map((e) => [Number(e.id.split('-')[1]), e.event, JSON.parse(e.data)])
    for (let first = 0; first < records.length; first++) {
      for (const length of [1, 3, records.length]) {
        const { frames } = DIALECTS
        let state = frames.begin(JOB)
        const seen: unknown[] = []
        for (let at = first; at < records.length; at += length) {
          const rendered = frames.render(run(records.slice(at, at + length), at + 1), state, 0)
          state = rendered.state
          for (const { t, job, seq, cursor, e = [], ...end } of readFrames(rendered.events) as Array<
            Frame & { job: string }
          >) {
            expect(job).toBe(JOB.id)
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
    const answer = chat.whole(JOB)
    answer.take(records)
    const { status, body } = answer.reply()
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
