/** What an estimate is made of: every text once, frames, media; and never more than it has time for. */
import { describe, expect, it } from 'vitest'
import type { JsonRecord } from './json.ts'
import { promptOf } from './text-request.ts'

const prompt = (request: JsonRecord) => promptOf(request, JSON.stringify(request).length)
const NOTHING = { texts: [], media: [], frameTokens: 0, syntaxTokens: 0, unreadBytes: 0 }
const message = (content: unknown, more: JsonRecord = {}) => ({ role: 'user', content, ...more })

describe('a prompt', () => {
  it('is its texts, with four tokens for each message and three for the answer', () => {
    const messages = [message('be brief', { role: 'system' }), message('hello', { name: 'ann' })]
    expect(prompt({ model: 'demo', messages })).toEqual({
      ...NOTHING,
      texts: ['be brief', 'hello', 'ann'],
      frameTokens: 4 * 2 + 3,
    })
  })

  it('is not what nobody reads', () => {
    const more = { user: 'u', metadata: { a: 'b' }, service_tier: 'flex', stream_options: { include_usage: true } }
    expect(prompt({ model: 'demo', ...more })).toEqual(NOTHING)
  })

  it('is whatever text there is, and whatever it is called', () => {
    const texts = ['a', 'b', 'c', 'd']
    expect(
      prompt({ prompt: 'a', documents: [{ deep: { er: ['b'] } }], guided_json: 'c', chat_template_kwargs: { x: 'd' } })
        .texts,
    ).toEqual(texts)
  })

  it('has images, with how closely to look, sounds and files apart', () => {
    const url = 'https://example.com/a.png'
    const parts = [
      { type: 'text', text: 'what is this?' },
      { type: 'image_url', image_url: { url, detail: 'low' } },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
      { type: 'input_audio', input_audio: { data: 'A'.repeat(300), format: 'wav' } },
      { type: 'file', file: { file_id: 'file-1' } },
    ]
    const { texts, media } = prompt({ messages: [message(parts)] })
    expect(texts).toEqual(['what is this?', 'file-1'])
    expect(media).toEqual([
      { text: url, name: 'url', detail: 'low' },
      { text: 'data:image/png;base64,AAAA', name: 'url', detail: undefined },
      { text: 'A'.repeat(300), name: 'data', detail: undefined },
      { text: 'file-1', name: 'file_id', detail: undefined },
    ])
  })

  it('has the text of a file, and of a long one its beginning', () => {
    const fileOf = (text: string) => {
      const file_data = `data:text/plain;base64,${Buffer.from(text).toString('base64')}`
      return prompt({ messages: [message([{ type: 'file', file: { file_data } }])] })
    }
    expect(fileOf('forty pages')).toMatchObject({ texts: ['forty pages'], media: [], unreadBytes: 0 })
    const { texts, unreadBytes } = fileOf('page '.repeat(100_000))
    expect(texts).toEqual(['page '.repeat(100_000).slice(0, 12_288)])
    expect(Math.abs(unreadBytes - (500_000 - 12_288))).toBeLessThan(4)
  })

  it('to be embedded is its texts, or tokens that were sent as numbers', () => {
    expect(prompt({ input: ['a', 'b'] })).toEqual({ ...NOTHING, texts: ['a', 'b'] })
    expect(prompt({ input: [1, 2, 3] })).toEqual({ ...NOTHING, frameTokens: 3 })
    expect(prompt({ input: [[1, 2], [3]] })).toEqual({ ...NOTHING, frameTokens: 3 })
  })

  it('has names and words of schemas, and their punctuation', () => {
    const parameters = { type: 'object', properties: { city: { type: 'string', enum: ['Rome'] } } }
    const { texts, syntaxTokens } = prompt({ tools: [{ type: 'function', function: { name: 'f', parameters } }] })
    expect(texts).toEqual(['f', 'city', 'Rome'])
    // A separator for each of nine members and for each of five values; eight names and three values are words
    expect(syntaxTokens).toBe(9 + 5 + 8 + 3)
  })
})

describe('a request with more members than there is time for', () => {
  it.each<[string, JsonRecord]>([
    ['messages', { messages: Array.from({ length: 200_000 }, () => message('hello')) }],
    ['numbers', { input: Array.from({ length: 2_000_000 }, (_, i) => i % 10) }],
    ['names', { tools: Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`name${i}`, 1])) }],
    ['lists', { x: Array.from({ length: 500_000 }, () => []) }],
  ])('is read in part, and the rest of it told: %s', (_name, request) => {
    const { texts, frameTokens, unreadBytes } = prompt(request)
    const bytes = JSON.stringify(request).length
    expect(texts.length).toBeLessThanOrEqual(10_000)
    expect(frameTokens).toBeLessThanOrEqual(120_000)
    expect(unreadBytes).toBeGreaterThan(bytes / 2)
    expect(unreadBytes).toBeLessThanOrEqual(bytes)
  })
})
