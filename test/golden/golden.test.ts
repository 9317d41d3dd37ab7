import { describe, expect, it } from 'vitest'
import { type Bytes, isEnd, kindOf, payloadOf, toText } from '../../src/core/record.ts'
import { chatDialect } from '../../src/delivery/dialects/chat.ts'
import { renderCompletion } from '../../src/delivery/dialects/completion.ts'
import type { Dialect } from '../../src/delivery/dialects/dialect.ts'
import { nativeDialect } from '../../src/delivery/dialects/native.ts'
import { renderRun } from '../../src/delivery/feed.ts'
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

const DIALECTS: readonly Dialect[] = [chatDialect(false), chatDialect(true), nativeDialect]
const whole = (dialect: Dialect, records: readonly Bytes[]): Bytes => renderRun(dialect, records, 1, 0, 1, { over: false })

describe.each(GOLDEN_LOGS)('$name', ({ records, message, finish }) => {
  it.each(DIALECTS)('resumes at every record in $key', (dialect) => {
    const all = readSse(whole(dialect, records))
    for (let cursor = 0; cursor <= records.length; cursor++) {
      const state = { over: false }
      renderRun(dialect, records.slice(0, cursor), 1, 0, 1, state)
      const rest = readSse(renderRun(dialect, records, 1, cursor, 1, state))
      expect(rest).toEqual(all.filter((e) => Number(e.id.split('-')[1]) > cursor))
    }
  })

  it('shows chunks byte for byte in chat SSE, and ends as it ended', () => {
    const reset = records.findIndex((r) => kindOf(r) === 'reset')
    const shown = (reset < 0 ? records : records.slice(0, reset)).filter((r) => kindOf(r) === 'chunk').map(toText)
    const events = readSse(whole(chatDialect(false), records)).map((e) => e.data)
    expect(events.slice(0, -1)).toEqual(shown)
    if (message) expect(events.at(-1)).toBe('[DONE]')
    else expect(JSON.parse(events.at(-1)!)).toMatchObject({ error: { code: reset < 0 ? 'provider_error' : 'stream_restarted' } })
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
    expect('usage' in json).toBe(records.some((r) => kindOf(r) === 'usage'))
  })
})
