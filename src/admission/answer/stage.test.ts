/** What becomes of answers between their provider and the log. */
import { describe, expect, it } from 'vitest'
import type { Json, JsonObject } from '../../core/fold.ts'
import { payloadOf, toText } from '../../core/record.ts'
import { samples, seeded } from '../testing/samples.ts'
import { type GuardInput, type Staged, staged, textOf } from '../testing/staged.ts'

const { secrets: KINDS, prose, pieces, pick } = samples(seeded(1))
const SECRET = `ghp_${'0123456789abcdefghijklmnopqrstuvwxyz'}`
const MARKER = '[redacted:github-pat]'

const redact: GuardInput = { guard: 'secrets', on: 'answer', action: 'redact' }
const block: GuardInput = { guard: 'secrets', on: 'answer', action: 'block' }

const streamed = (one: Staged, text: string, most = 7): void => {
  for (const piece of pieces(text, most)) one.chunk({ content: piece })
}
const callOf = (index: number, piece: string, more: JsonObject = {}): JsonObject => ({
  tool_calls: [{ index, ...more, function: { arguments: piece } }],
})
const argumentsOf = (piece: string): JsonObject => ({ function: { arguments: piece } })
const completion = (content: string, more: JsonObject = {}): JsonObject => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content }, logprobs: null, finish_reason: 'stop', ...more }],
  usage: { prompt_tokens: 1, completion_tokens: 2 },
})

describe('stands only where it is needed', () => {
  it.each<readonly GuardInput[]>([
    [],
    [{ guard: 'max-context', tokens: 1 }],
    [{ guard: 'secrets' }, { guard: 'pii', on: 'request', restore: false }, { guard: 'deny-terms', terms: ['a'] }],
  ])('%#', (...guards) => {
    expect(staged(guards).stage).toBe(null)
  })
  it('where a guard concerns answers', () => {
    expect(staged([redact]).stage).not.toBe(null)
    expect(staged([{ guard: 'pii' }]).stage).not.toBe(null)
  })
})

describe('secrets in a stream', () => {
  it('3,000 of them, over content, reasoning, arguments of calls and two choices: 0 leak', () => {
    let leaked = 0
    for (let i = 0; i < 3_000; i += 10) {
      const one = staged([redact], { request: { n: 2, messages: [] } })
      const all: string[] = []
      const texts = Array.from({ length: 10 }, (_, j) => {
        const secret = KINDS[(i + j) % KINDS.length][1]()
        all.push(secret)
        return pieces(`${prose(4)} ${pick(['', 'key=', '"'])}${secret} ${prose(4)}`)
      })
      const longest = Math.max(...texts.map(({ length }) => length))
      // All at once, a piece of each in turn
      for (let at = 0; at < longest; at++)
        for (const [j, text] of texts.entries()) {
          if (at >= text.length) continue
          const name = ['content', 'reasoning_content', 'refusal'][j % 3]
          if (j < 3) one.chunk({ [name]: text[at] })
          else if (j < 6) one.chunk({ [name]: text[at] }, { index: 1 })
          else if (j < 8) one.chunk(callOf(j, text[at], at === 0 ? { id: `call_${j}` } : {}))
          else one.chunk(callOf(j, text[at]), { index: 1 })
        }
      one.finish('stop', 0)
      one.finish('tool_calls', 1)
      one.done()
      const choices = JSON.stringify(one.choices())
      for (const secret of all)
        for (let from = 8; from + 10 <= secret.length; from += 7) {
          const part = secret.slice(from, from + 10)
          if (!/^-*$|KEY|BEGIN|END/.test(part) && choices.includes(JSON.stringify(part).slice(1, -1))) leaked++
        }
      expect(choices.match(/\[redacted:/g)).toHaveLength(10)
      expect(one.ends).toEqual([{ kind: 'done' }])
    }
    expect(leaked).toBe(0)
  })

  it('shows all else as it came, and its end before the finish reason', () => {
    const one = staged([redact])
    one.chunk({ role: 'assistant', content: '' })
    streamed(one, `Hello world, ${SECRET} and more`)
    one.finish('length')
    one.done()
    expect(one.content()).toBe(`Hello world, ${MARKER} and more`)
    const last = JSON.parse(toText(one.records.at(-1)!)) as { choices: JsonObject[] }
    expect(last.choices[0]).toEqual({ index: 0, delta: {}, finish_reason: 'length' })
    expect(one.rulings()['secrets']).toMatchObject({
      on: 'answer',
      verdict: 'redact',
      rules: ['github-pat'],
      count: 1,
      job: 'job_1',
    })
  })

  it('that comes in one piece with the finish reason, or whose upstream gives one with every chunk', () => {
    const one = staged([redact])
    one.chunk({ content: `a ${SECRET}` }, { finish_reason: 'stop' })
    one.done()
    expect(one.content()).toBe(`a ${MARKER}`)
    const other = staged([redact])
    for (const piece of pieces(`a ${SECRET} b`)) other.chunk({ content: piece }, { finish_reason: 'stop' })
    other.done()
    expect(other.content()).toBe(`a ${MARKER} b`)
  })

  it('keeps calls apart that an upstream gives no index, or the same one', () => {
    for (const index of [{}, { index: 0 }]) {
      const one = staged([redact])
      for (const [id, name] of [
        ['call_1', 'a'],
        ['call_2', 'b'],
      ])
        for (const [i, piece] of pieces(`{"key":"${SECRET} joe"}`).entries())
          one.chunk({
            tool_calls: [
              {
                ...(index as JsonObject),
                ...(i === 0 ? { id, type: 'function', function: { name, arguments: piece } } : argumentsOf(piece)),
              },
            ],
          })
      one.finish('tool_calls')
      one.done()
      const [{ message }] = one.choices()
      const calls = (message['tool_calls'] as JsonObject[]).map(
        ({ function: made }) => (made as JsonObject)['arguments'],
      )
      expect(calls).toEqual([`{"key":"${MARKER} joe"}`, `{"key":"${MARKER} joe"}`])
    }
  })

  it('does not let the spelling of tokens tell what it hides', () => {
    const one = staged([redact])
    one.chunk({ content: 'ghp' }, { logprobs: { content: [{ token: 'ghp', logprob: 0 }] }, token_ids: [1, 2] })
    one.chunk({ content: SECRET.slice(3) }, { logprobs: { content: [{ token: SECRET.slice(3), logprob: 0 }] } })
    one.finish()
    one.done()
    expect(textOf(one.records)).not.toContain(SECRET.slice(3))
    expect(textOf(one.records)).not.toContain('"token":"ghp"')
  })

  it('after a prefix that is continued, knows where a word began', () => {
    const one = staged([redact], { prefix: 'x' })
    one.chunk({ content: `${SECRET} y` })
    one.finish()
    one.done()
    // "xghp_…" is no key
    expect(one.content()).toBe(`${SECRET} y`)
  })

  it('that is cut off keeps back what may have been one', () => {
    const one = staged([redact])
    one.chunk({ content: `so: ${SECRET.slice(0, 20)}` })
    one.stage!.end({ kind: 'aborted' })
    expect(one.content()).toBe('so: ')
    expect(one.ends).toEqual([{ kind: 'aborted' }])
  })
})

describe('blocks', () => {
  it('by ending the choice as OpenAI does, and the call', () => {
    const one = staged([block])
    streamed(one, `Your key is ${SECRET}, and so on and so forth`)
    expect(one.isAborted()).toBe(true)
    expect(one.ends).toEqual([{ kind: 'done' }])
    expect(one.choices()[0]).toMatchObject({
      message: { content: 'Your key is ' },
      finishReason: 'content_filter',
      rest: { sluice: { guard: 'secrets', verdict: 'block' } },
    })
    one.chunk({ content: 'late' })
    one.done()
    expect(one.ends).toHaveLength(1)
    expect(textOf(one.records)).not.toContain('late')
    expect(one.rulings()['secrets']).toMatchObject({ verdict: 'block', rules: ['github-pat'] })
  })

  it('one choice of two, and the other goes on', () => {
    const one = staged([block], { request: { n: 2, messages: [] } })
    one.chunk({ content: `${SECRET} ` })
    one.chunk({ content: 'fine ' }, { index: 1 })
    one.chunk({ content: 'more' })
    expect(one.isAborted()).toBe(false)
    one.chunk({ content: 'so far' }, { index: 1 })
    one.finish('stop', 1)
    one.done()
    expect(one.choices().map(({ finishReason }) => finishReason)).toEqual(['content_filter', 'stop'])
    expect([one.content(0), one.content(1)]).toEqual(['', 'fine so far'])
    expect(one.ends).toEqual([{ kind: 'done' }])
  })

  it('a document, with its usage', () => {
    const one = staged([block])
    one.document(completion(`key ${SECRET}`))
    one.done()
    const { choices, usage } = JSON.parse(toText(payloadOf(one.records[0]))) as { choices: JsonObject[]; usage: Json }
    expect(choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: null },
        logprobs: null,
        finish_reason: 'content_filter',
        sluice: { guard: 'secrets', verdict: 'block' },
      },
    ])
    expect(usage).toEqual({ prompt_tokens: 1, completion_tokens: 2 })
  })
})

describe('a text that begins like a data URL', () => {
  const TEXT = `data:text/plain,${SECRET}`
  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }

  it('is looked through, in a stream and in a document', () => {
    const one = staged([redact])
    one.chunk({ content: TEXT })
    one.chunk(callOf(0, TEXT))
    one.chunk({ annotations: [{ url: TEXT }] })
    one.finish()
    one.done()
    const other = staged([redact])
    other.document(completion(`data:;base64,${SECRET}`))
    expect(one.content()).toBe(`data:text/plain,${MARKER}`)
    expect(other.content()).toBe(`data:;base64,${MARKER}`)
    expect(textOf([...one.records, ...other.records])).not.toContain(SECRET)
    expect(one.rulings()['secrets']).toMatchObject({ count: 3, unscanned: [] })
  })

  it('an image is not, and is told', () => {
    const one = staged([redact])
    one.chunk({ images: [image] })
    one.finish()
    one.done()
    expect(one.choices()[0].message['images']).toEqual([image])
    expect(one.rulings()['secrets']).toMatchObject({ verdict: 'allow', unscanned: ['media'] })
  })
})

describe('a document', () => {
  it('is encoded again only where it was changed', () => {
    const one = staged([redact])
    const text = `{ "id":"x","object":"chat.completion", "big":9007199254740993, "e":1.50,\n"choices":[{"index":0,
      "message":{"role":"assistant","content":"caf\\u00e9 ${SECRET} end","tool_calls":[{"id":"call_1","type":"function",
      "function":{"name":"f","arguments":"{\\"k\\":\\"${SECRET}\\"}"}}]},"finish_reason":"stop"}]}`
    one.stage!.document(Buffer.from(text).toString('latin1'), null)
    one.done()
    const wanted = text.replaceAll(SECRET, MARKER).replace('caf\\u00e9', 'café')
    expect(toText(payloadOf(one.records[0]))).toBe(wanted)
  })

  it('without anything to change stays as it is, byte for byte', () => {
    const one = staged([redact])
    const bytes = one.document(completion('nothing here, \u00e9'))
    one.done()
    expect(payloadOf(one.records[0])).toBe(bytes)
  })

  it('does not spell what it hides', () => {
    const one = staged([redact])
    one.document(completion(SECRET, { logprobs: { content: [{ token: SECRET, bytes: [1, 2] }] } }))
    one.done()
    expect(textOf(one.records)).not.toContain(SECRET)
    expect(one.choices()[0]).toMatchObject({ message: { content: MARKER }, rest: { logprobs: null } })
  })
})

describe('a shadow changes no byte', () => {
  const shadows: readonly GuardInput[] = [
    { guard: 'secrets', on: 'both', action: 'block', mode: 'shadow' },
    { guard: 'pii', on: 'both', mode: 'shadow' },
    { guard: 'deny-terms', terms: ['hello'], on: 'answer', action: 'redact', mode: 'shadow' },
    { guard: 'json-schema', schema: '{"type":"object"}', mode: 'shadow' },
  ]
  it('of a stream or a document, and tells what it would have done', () => {
    const request: JsonObject = { messages: [{ role: 'user', content: 'I am joe@example.com' }] }
    const one = staged(shadows, { request })
    expect(Buffer.from(one.stage!.body).toString()).toBe(JSON.stringify(request))
    const chunks: string[] = []
    for (const content of ['hel', 'lo ', SECRET, ' joe@exa', 'mple.com']) {
      const chunk = `{"id":"1", "choices":[{"delta":{"content":${JSON.stringify(content)}},"logprobs":{"content":[]}}]}`
      chunks.push(chunk)
      one.stage!.events([chunk])
    }
    one.finish()
    one.done()
    expect(one.records.slice(0, -1)).toEqual(chunks)
    expect(one.ends).toEqual([{ kind: 'done' }])
    const { secrets, pii, 'deny-terms': terms, 'json-schema': schema } = one.rulings()
    expect(secrets).toMatchObject({ mode: 'shadow', verdict: 'block', rules: ['github-pat'] })
    expect(pii).toMatchObject({ mode: 'shadow', verdict: 'redact', rules: ['email'] })
    expect(terms).toMatchObject({ mode: 'shadow', count: 1 })
    expect(schema).toMatchObject({ mode: 'shadow', verdict: 'block' })
    const other = staged(shadows)
    const bytes = other.document(completion(`hello ${SECRET}`))
    other.done()
    expect(payloadOf(other.records[0])).toBe(bytes)
  })
})

describe('personal data is hidden from the provider alone', () => {
  const request = (content: Json): JsonObject => ({ model: 'm', big: 1, messages: [{ role: 'user', content }] })
  const bodyOf = (one: Staged): string => Buffer.from(one.stage!.body).toString()

  it('the request has placeholders, and the answer the originals', () => {
    const one = staged([{ guard: 'pii' }], {
      request: request('Write to joe@example.com and ann@example.com, not joe@example.com [EMAIL_1]'),
    })
    expect(bodyOf(one)).toBe(JSON.stringify(request('Write to [EMAIL_2] and [EMAIL_3], not [EMAIL_2] [EMAIL_1]')))
    streamed(one, 'Dear [EMAIL_2], hello [EMAIL_3], [EMAIL_9] [EMAIL_', 5)
    one.chunk(callOf(0, '{"to":"[EMA'))
    one.chunk(callOf(0, 'IL_2]"}'))
    one.finish()
    one.done()
    expect(one.content()).toBe('Dear joe@example.com, hello ann@example.com, [EMAIL_9] [EMAIL_')
    expect(one.choices()[0].message['tool_calls']).toEqual([{ function: { arguments: '{"to":"joe@example.com"}' } }])
  })

  it('also in a document, and in what is to be continued', () => {
    const one = staged([{ guard: 'pii' }], {
      request: request('I am joe@example.com'),
      prefix: 'Dear joe@example.com, ',
    })
    expect(one.stage!.prefix).toBe('Dear [EMAIL_1], ')
    one.document(completion('You are [EMAIL_1].'))
    expect(one.content()).toBe('You are joe@example.com.')
  })

  it('what the model makes up is redacted where answers are looked through too', () => {
    const one = staged([{ guard: 'pii', on: 'both' }], { request: request('I am joe@example.com') })
    streamed(one, 'You, [EMAIL_1], are not bob@example.org, +1 (555) 010-9999')
    one.finish()
    one.done()
    expect(one.content()).toBe('You, joe@example.com, are not [redacted:email], [redacted:phone]')
  })

  it('no call is made where it can’t be hidden', () => {
    const parts = [
      { type: 'text', text: 'joe@exam' },
      { type: 'text', text: 'ple.com' },
    ]
    expect(() =>
      staged([{ guard: 'pii' }], { request: request([{ type: 'text', text: 'a@b.cc' }, ...parts]) }),
    ).toThrow('can’t be done')
  })
})

describe('a schema', () => {
  const SCHEMA = {
    type: 'object',
    properties: { name: { type: 'string' }, kind: { enum: ['cat', 'dog'] }, age: { type: 'integer' } },
    required: ['name', 'kind'],
    additionalProperties: false,
  }
  const request: JsonObject = {
    messages: [],
    response_format: { type: 'json_schema', json_schema: { name: 'pet', schema: SCHEMA } },
  }
  const guard: GuardInput = { guard: 'json-schema' }
  const VALID = '{"name":"Tom","kind":"cat"}'

  it('lets an answer pass that matches it', () => {
    const one = staged([guard], { request })
    streamed(one, VALID, 3)
    one.finish()
    one.done()
    expect([one.content(), one.ends]).toEqual([VALID, [{ kind: 'done' }]])
    expect(one.facts).toEqual([])
  })

  it.each([
    ['another type', '["', true],
    ['talk before it', 'Here is', true],
    ['a member too many', '{"name":"Tom","nick"', true],
    ['another value', '{"kind":"co', true],
    ['another type within', '{"name":1', true],
    ['no whole number', '{"name":"a","kind":"cat","age":1.5}', true],
    ['a member missing', '{"name":"Tom"}', true],
    ['text after it', `${VALID} !`, true],
    ['a fence', '```json', true],
  ])('ends an answer as soon as it has %s', (_name, text) => {
    const one = staged([guard], { request })
    streamed(one, `${text}${' more'.repeat(20)}`, 1)
    expect(one.ends).toMatchObject([{ kind: 'failed', error: { code: 'answer_invalid' }, retry: true }])
    expect(one.isAborted()).toBe(true)
    expect(one.rulings()['json-schema']).toMatchObject({ verdict: 'block', rules: ['prefix'] })
    // Not a character later than necessary, with what was held in the same chunk
    const shown = one.choices().length === 0 ? '' : String(one.content())
    expect(text.startsWith(shown)).toBe(true)
  })

  it('judges the whole by what the beginning can’t tell', () => {
    const own = JSON.stringify({
      type: 'array',
      minItems: 2,
      uniqueItems: true,
      items: { type: 'string', pattern: '^a' },
    })
    const of = (text: string): unknown => {
      const one = staged([{ guard: 'json-schema', schema: own, invalid: 'fail' }])
      streamed(one, text)
      one.finish()
      one.done()
      return one.ends[0].kind === 'done' ? 'done' : one.rulings()['json-schema']['rules']
    }
    expect(of('["a","ab"]')).toBe('done')
    expect(of('["a"]')).toEqual(['minItems'])
    expect(of('["a","a"]')).toEqual(['uniqueItems'])
    expect(of('["a","b"]')).toEqual(['pattern'])
    expect(of('["a","b"')).toEqual(['json'])
  })

  it('is not asked of a refusal, of calls, or of what was cut at its length', () => {
    const refused = staged([guard], { request })
    refused.chunk({ refusal: 'No.' })
    refused.finish()
    refused.done()
    const cut = staged([guard], { request })
    cut.chunk({ content: '{"name":"To' })
    cut.finish('length')
    cut.done()
    expect([refused.ends, cut.ends]).toEqual([[{ kind: 'done' }], [{ kind: 'done' }]])
  })

  it('is held against documents too', () => {
    const one = staged([guard], { request })
    one.document(completion('{"name":1}'))
    expect(one.ends).toMatchObject([{ kind: 'failed', error: { code: 'answer_invalid' } }])
    expect(one.records).toEqual([])
    const good = staged([guard], { request })
    const bytes = good.document(completion(VALID))
    good.done()
    expect(payloadOf(good.records[0])).toBe(bytes)
  })

  it('is held against what the client sees, where personal data is hidden', () => {
    const schema = {
      type: 'object',
      properties: {
        to: { enum: ['joe@example.com', 'ann@example.com'] },
        cc: { const: 'bob@example.com' },
        from: { type: 'string', pattern: '^[^ \\[]+@[^ ]+$' },
      },
      required: ['to', 'cc', 'from'],
    }
    const request: JsonObject = {
      messages: [{ role: 'user', content: 'I am joe@example.com' }],
      response_format: { type: 'json_schema', json_schema: { name: 'mail', schema } },
    }
    const guards: readonly GuardInput[] = [{ guard: 'pii' }, guard]
    const whole = '{"to":"[EMAIL_2]","cc":"[EMAIL_3]","from":"[EMAIL_1]"}'
    const shown = '{"to":"ann@example.com","cc":"bob@example.com","from":"joe@example.com"}'
    for (const own of [null, JSON.stringify(schema)]) {
      const one = staged([{ guard: 'pii' }, { ...guard, schema: own } as GuardInput], { request })
      streamed(one, whole, 3)
      one.finish()
      one.done()
      expect([one.ends, one.content(), one.facts]).toEqual([[{ kind: 'done' }], shown, []])
    }
    const continued = staged(guards, { request, prefix: '{"to":"ann@example.com",' })
    streamed(continued, '"cc":"[EMAIL_3]","from":"[EMAIL_1]"}', 3)
    continued.finish()
    continued.done()
    expect(continued.ends).toEqual([{ kind: 'done' }])
    const document = staged(guards, { request })
    document.document(completion(whole))
    document.done()
    expect([document.ends, document.content()]).toEqual([[{ kind: 'done' }], shown])
    const other = staged(guards, { request })
    streamed(other, '{"to":"[EMAIL_1]","cc":"[EMAIL_2]",', 3)
    expect(other.ends).toMatchObject([{ kind: 'failed', error: { code: 'answer_invalid' } }])
  })

  it('judges the whole once, at the end, whatever the finish reasons', () => {
    const each = staged([guard], { request })
    for (const piece of pieces(VALID, 3)) each.chunk({ content: piece }, { finish_reason: 'stop' })
    each.done()
    expect([each.content(), each.ends]).toEqual([VALID, [{ kind: 'done' }]])
    for (const reason of ['stop', 'eos', 'end_turn', null]) {
      const one = staged([guard], { request })
      one.chunk({ content: '{"name":"Tom"' })
      if (reason !== null) one.finish(reason)
      one.done()
      expect([reason, one.rulings()['json-schema']?.['rules']]).toEqual([reason, ['json']])
      expect(one.ends).toMatchObject([{ kind: 'failed', error: { code: 'answer_invalid' }, retry: true }])
      // Nobody saw an end of it
      expect(textOf(one.records)).not.toMatch(/"finish_reason":"/)
    }
    const calls = staged([guard], { request })
    calls.chunk({ content: '{' })
    calls.chunk(callOf(0, '{}'))
    calls.finish()
    calls.done()
    expect(calls.ends).toEqual([{ kind: 'done' }])
  })

  it('shows the end only with the verdict, and at once where another choice goes on', () => {
    const one = staged([guard], { request: { ...request, n: 2 } })
    one.chunk({ content: VALID })
    one.finish()
    expect(textOf(one.records)).not.toContain('"stop"')
    one.chunk({ content: VALID }, { index: 1 })
    expect(textOf(one.records)).toContain('"stop"')
    one.finish('stop', 1)
    one.done()
    expect(one.choices().map(({ finishReason }) => finishReason)).toEqual(['stop', 'stop'])
    expect(one.ends).toEqual([{ kind: 'done' }])
  })

  it('tells that content in parts is not checked', () => {
    const parts: Json = [{ type: 'text', text: '{"nick":1}' }]
    const one = staged([guard], { request })
    one.chunk({ content: parts })
    one.finish()
    one.done()
    const document = staged([guard], { request })
    document.document({ choices: [{ index: 0, message: { content: parts }, finish_reason: 'stop' }] })
    document.done()
    for (const { ends, rulings } of [one, document]) {
      expect(ends).toEqual([{ kind: 'done' }])
      expect(rulings()['json-schema']).toMatchObject({ verdict: 'allow', unscanned: ['parts'] })
    }
  })

  it('whose patterns are too slow for an answer is told as not checked', () => {
    const slow = JSON.stringify({ pattern: '(?:[a-z]?){1000}(?:[a-z]?){1000}[0-9]$' })
    const unscanned = (length: number): unknown => {
      const one = staged([{ ...guard, schema: slow } as GuardInput])
      one.chunk({ content: `"${'a'.repeat(length)}1"` })
      one.done()
      expect(one.ends).toEqual([{ kind: 'done' }])
      return one.rulings()['json-schema']?.['unscanned']
    }
    expect(unscanned(100)).toBe(undefined)
    expect(unscanned(20_000)).toEqual(['too_long'])
    // The next answer has all of the time again
    expect(unscanned(100)).toBe(undefined)
  })

  it('holds back few of the chunks that an upstream sends after its end', () => {
    const one = staged([guard], { request })
    one.chunk({ content: VALID })
    one.finish()
    for (let i = 0; i < 100; i++) one.chunk({})
    expect(one.records.length).toBeGreaterThan(30)
    one.done()
    expect([one.records.length, one.ends]).toEqual([102, [{ kind: 'done' }]])
  })

  it('in the shadow delays nothing, and counts an answer once', () => {
    const one = staged([{ ...guard, mode: 'shadow' } as GuardInput], { request })
    streamed(one, 'Here it is', 3)
    one.finish()
    expect(textOf(one.records)).toContain('"stop"')
    one.done()
    expect(one.rulings()['json-schema']).toMatchObject({ rules: ['prefix'], count: 1 })
  })

  it('that can’t be checked is told as not checked', () => {
    const loop = {
      $defs: { a: { anyOf: [{ type: 'null' }, { properties: { a: { $ref: '#/$defs/a' } } }] } },
      $ref: '#/$defs/a',
    }
    const wide = {
      type: 'object',
      properties: Object.fromEntries(Array.from({ length: 9_000 }, (_, i) => [`p${i}`, {}])),
    }
    const deep = { $defs: {} as JsonObject, $ref: '#/$defs/d0' }
    for (let i = 0; i < 30; i++)
      deep.$defs[`d${i}`] = i === 29 ? {} : { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] }
    for (const schema of [loop, wide, deep, { pattern: '(?=a)' }, { $ref: 'https://example.com/x' }, 7] as Json[]) {
      const asked: JsonObject = { messages: [], response_format: { type: 'json_schema', json_schema: { schema } } }
      const one = staged([guard], { request: asked })
      streamed(one, 'anything')
      one.finish()
      one.done()
      expect(one.content()).toBe('anything')
      expect(one.rulings()['json-schema']).toMatchObject({ verdict: 'allow', unscanned: ['schema'] })
    }
  })

  it('makes no call to continue what can’t match any more', () => {
    expect(() => staged([guard], { request, prefix: '{"nick"' })).toThrow('does not match')
  })
})

describe('moderation', () => {
  const guard = (more: object = {}): GuardInput => ({
    guard: 'moderation',
    url: 'http://127.0.0.1:1/v1/moderations',
    ...more,
  })
  const setUp = (more: object = {}) => {
    const { promise, resolve, reject } = Promise.withResolvers<{ flagged: boolean; categories: string[] }>()
    const asked: Array<readonly string[]> = []
    const one = staged([guard(more)], {
      moderate: (_settings, texts) => {
        asked.push(texts)
        return promise
      },
    })
    const settled = (): Promise<void> => new Promise((next) => setImmediate(next))
    return {
      one,
      asked,
      async judge(flagged: boolean, categories: string[] = []) {
        resolve({ flagged, categories })
        await settled()
      },
      async fail() {
        reject(new Error('no'))
        await settled()
      },
    }
  }

  it('runs beside the call, and nothing is shown before the verdict', async () => {
    const { one, asked, judge } = setUp()
    expect(asked).toEqual([['Hello']])
    one.chunk({ content: 'Hi' })
    one.finish()
    one.done()
    expect([one.records, one.ends]).toEqual([[], []])
    await judge(false)
    expect([one.content(), one.ends]).toEqual(['Hi', [{ kind: 'done' }]])
  })

  it('ends an answer whose request is rejected', async () => {
    const { one, judge } = setUp()
    one.chunk({ content: 'Hi' })
    await judge(true, ['violence', 'self-harm/intent', 'not a "name"'])
    expect(one.records).toEqual([])
    expect(one.isAborted()).toBe(true)
    expect(one.ends).toMatchObject([{ kind: 'failed', error: { code: 'content_blocked' }, retry: false }])
    expect(one.rulings()['moderation']).toMatchObject({ rules: ['violence', 'self-harm/intent', 'other'] })
  })

  it('where nobody waits for it, shows at once, and still has the last word', async () => {
    const { one, judge } = setUp({ wait: false })
    one.chunk({ content: 'Hi' })
    expect(one.content()).toBe('Hi')
    one.finish()
    one.done()
    expect(one.ends).toEqual([])
    await judge(true)
    expect(one.ends).toMatchObject([{ kind: 'failed', error: { code: 'content_blocked' } }])
  })

  it.each([
    ['open', [{ kind: 'done' }]],
    ['closed', [{ kind: 'failed', error: { code: 'moderation_failed' }, retry: false }]],
  ] as const)('without a verdict, fail: %s', async (policy, ends) => {
    const { one, fail } = setUp({ fail: policy })
    one.chunk({ content: 'Hi' })
    one.finish()
    one.done()
    await fail()
    expect(one.ends).toMatchObject(ends)
    expect(one.rulings()['moderation']).toMatchObject({ unscanned: ['unavailable'] })
  })

  it('a cancel waits for nothing', async () => {
    const { one, judge } = setUp()
    one.chunk({ content: 'Hi' })
    one.stage!.end({ kind: 'aborted' })
    expect(one.ends).toEqual([{ kind: 'aborted' }])
    await judge(false)
    expect([one.records, one.ends.length]).toEqual([[], 1])
  })

  it('in the shadow nobody waits, and nothing comes of it', async () => {
    const { one, judge } = setUp({ mode: 'shadow' })
    one.chunk({ content: 'Hi' })
    expect(one.content()).toBe('Hi')
    await judge(true, ['hate'])
    one.finish()
    one.done()
    expect(one.ends).toEqual([{ kind: 'done' }])
    expect(one.rulings()['moderation']).toMatchObject({ mode: 'shadow', verdict: 'block', rules: ['hate'] })
  })

  it('in the shadow it is told also where it comes after the end', async () => {
    const { one, judge } = setUp({ mode: 'shadow', wait: false })
    one.chunk({ content: 'Hi' })
    one.finish()
    one.done()
    expect([one.ends, one.facts]).toEqual([[{ kind: 'done' }], []])
    await judge(true, ['hate'])
    expect(one.ends).toHaveLength(1)
    expect(one.rulings()['moderation']).toMatchObject({ mode: 'shadow', verdict: 'block', rules: ['hate'] })
  })

  it.each([true, false])('is not waited for once nobody waits for the answer: wait %s', async (wait) => {
    const { one, judge } = setUp({ wait })
    one.chunk({ content: 'Hi' })
    one.stage!.stop()
    // Its call goes on, until that tells its end
    expect(one.ends).toEqual([])
    one.finish()
    one.done()
    expect(one.ends).toEqual([])
    one.stage!.stop()
    expect(one.ends).toEqual([{ kind: 'aborted' }])
    await judge(false)
    expect(one.ends).toHaveLength(1)
  })

  describe('a long request', () => {
    const MAX_CHARS = 256 << 10
    const asking = async (texts: readonly string[], more: object = {}) => {
      const calls: Array<readonly string[]> = []
      const one = staged([guard(more)], {
        request: { messages: texts.map((content) => ({ role: 'user', content })) },
        async moderate(_settings, texts) {
          calls.push(texts)
          return { flagged: texts.some((text) => text.includes('BAD')), categories: [] }
        },
      })
      one.done()
      await new Promise((next) => setImmediate(next))
      return { one, calls }
    }
    const REJECTED = [{ kind: 'failed', error: { code: 'content_blocked' } }]

    it.each<[string, readonly string[]]>([
      ['before much else', ['BAD', 'x'.repeat(MAX_CHARS), 'x']],
      ['in the middle of much else', [`${'x'.repeat(MAX_CHARS)}BAD${'x'.repeat(3 * MAX_CHARS)}`]],
      ['where a piece ends', [`BAD${'x'.repeat(MAX_CHARS - 2)}`]],
      ['before many short ones', ['BAD', ...Array.from({ length: 9_000 }, () => 'x'.repeat(60))]],
    ])('is asked about in several calls: bad %s', async (_name, texts) => {
      const { one, calls } = await asking(texts)
      expect(one.ends).toMatchObject(REJECTED)
      for (const call of calls) expect(call.join('').length).toBeLessThanOrEqual(MAX_CHARS)
    })

    it('is not passed where it is too long for that', async () => {
      const long = ['BAD', 'x'.repeat(9 * MAX_CHARS)]
      const closed = await asking(long)
      expect(closed.calls).toHaveLength(8)
      expect(closed.one.ends).toMatchObject([{ kind: 'failed', error: { code: 'moderation_failed' } }])
      expect(closed.one.rulings()['moderation']).toMatchObject({ verdict: 'allow', unscanned: ['too_long'] })
      const open = await asking(long, { fail: 'open' })
      expect(open.one.ends).toEqual([{ kind: 'done' }])
      expect(open.one.rulings()['moderation']).toMatchObject({ unscanned: ['too_long'] })
      expect((await asking([...long, 'BAD'])).one.ends).toMatchObject(REJECTED)
    })

    it('a rejected piece counts, also where another has no verdict', async () => {
      const one = staged([guard({ fail: 'open' })], {
        request: { messages: [{ role: 'user', content: `BAD${'x'.repeat(MAX_CHARS)}` }] },
        async moderate(_settings, [text]) {
          if (!text.includes('BAD')) throw new Error('down')
          return { flagged: true, categories: [] }
        },
      })
      one.done()
      await new Promise((next) => setImmediate(next))
      expect(one.ends).toMatchObject(REJECTED)
    })

    it('empty texts are not asked about, nor is a request without any other', async () => {
      const { one, calls } = await asking(['', 'Hello', ' \n'])
      expect(calls).toEqual([['Hello']])
      expect(one.ends).toEqual([{ kind: 'done' }])
      const empty = await asking(['', ' '])
      expect([empty.calls, empty.one.ends]).toEqual([[], [{ kind: 'done' }]])
    })
  })
})

it('what is unforeseen ends the answer, and is told', () => {
  const one = staged([redact])
  one.stage!.events(['no JSON'])
  expect(one.ends).toMatchObject([{ kind: 'failed', error: { code: 'internal' }, retry: false }])
  expect(one.isAborted()).toBe(true)
  expect(one.faults).toHaveLength(1)
})
