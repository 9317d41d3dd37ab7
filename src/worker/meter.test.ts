import { describe, expect, it } from 'vitest'
import { Meter } from './meter.ts'

const token = '{"choices":[{"index":0,"delta":{"content":" \\"usage\\":{"},"finish_reason":null}],"usage":null}'

it('takes chunks for tokens until the provider reports', () => {
  const meter = new Meter(7, 1_000)
  for (let i = 0; i < 3; i++) expect(meter.see(token)).toBe('chunk')
  expect(meter.usage()).toEqual({ promptTokens: 7, completionTokens: 3, estimated: true })
  expect(
    meter.see(
      '{"choices":[],"usage" : {"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}',
    ),
  ).toBe('usage')
  expect(meter.usage()).toEqual({ promptTokens: 9, completionTokens: 4, cachedTokens: 2, estimated: false })
})

it('shows a chunk that carries text and usage, and learns from it', () => {
  const meter = new Meter(7, 1_000)
  expect(
    meter.see('{"choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'),
  ).toBe('chunk')
  expect(meter.usage()).toEqual({ promptTokens: 1, completionTokens: 1, estimated: false })
})

it.each(['{"choices":[],"usage":{"prompt_tokens":-5,"completion_tokens":1e99}}', '{"choices":[],"usage":{}}'])(
  'does not believe %s',
  (chunk) => {
    const meter = new Meter(7, 1_000)
    meter.see(token)
    meter.see(chunk)
    expect(meter.usage()).toEqual({ promptTokens: 7, completionTokens: 1, estimated: true })
  },
)

const report = (prompt: number, completion: number, more = ''): string =>
  `{"choices":[],"usage":{"prompt_tokens":${prompt},"completion_tokens":${completion}${more}}}`

it.each([
  ['more completion tokens than the bytes received', report(1, 2 ** 53 - 1)],
  ['a million of them', report(1, 1_000_000)],
  ['more prompt tokens than the request has bytes', report(10_000_000, 1)],
  ['more reasoning than any model does', report(1, 1e15, ',"completion_tokens_details":{"reasoning_tokens":1e15}')],
])('does not believe %s', (_name, chunk) => {
  const meter = new Meter(7, 1_000)
  meter.see(token)
  expect(meter.see(chunk)).toBe('usage')
  expect(meter.usage()).toEqual({ promptTokens: 7, completionTokens: 1, estimated: true })
})

it('believes reasoning that is not shown', () => {
  const meter = new Meter(7, 1_000)
  meter.see(report(9, 200_001, ',"completion_tokens_details":{"reasoning_tokens":200000}'))
  expect(meter.usage()).toMatchObject({ completionTokens: 200_001, reasoningTokens: 200_000, estimated: false })
})

it.each([
  '{"choices":null,"usage":{"prompt_tokens":9,"completion_tokens":1}}',
  report(9, 1).replace('"choices":[],', ''),
])('takes %s for usage alone', (chunk) => expect(new Meter(7, 1_000).see(chunk)).toBe('usage'))

it('does not count chunks that only open the answer', () => {
  const meter = new Meter(7, 1_000)
  expect(meter.see('{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}')).toBe('opening')
  expect(meter.see('{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}')).toBe('opening')
  expect(meter.shown).toBe(false)
  meter.see(token)
  expect([meter.shown, meter.tokens]).toEqual([true, 1])
})

it('sums what the log holds of earlier attempts, as it was counted or reported', () => {
  const attempt = (n: number): string => `@attempt {"n":${n},"mode":"first","deployment":"d"}`
  const meter = new Meter(7, 1_000)
  meter.replay([attempt(1), token, token, attempt(2), attempt(3), token, `@usage ${report(9, 4)}`])
  expect(meter.usage()).toEqual({ promptTokens: 16, completionTokens: 6, estimated: true })
  meter.see(token)
  meter.see(report(11, 5))
  expect(meter.usage()).toEqual({ promptTokens: 27, completionTokens: 11, estimated: true })
  expect(meter.attemptUsage()).toEqual({ promptTokens: 11, completionTokens: 5, estimated: false })
  expect(meter.tokens).toBe(4)
})

describe('a report that can not be all of it', () => {
  const text = (usage = 'null') =>
    `{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":${usage}}`
  const bare = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}'
  const early = '{"prompt_tokens":1000,"completion_tokens":1}'
  const seen = (...chunks: readonly string[]) => {
    const meter = new Meter(7, 1_000)
    for (const chunk of chunks) meter.see(chunk)
    return meter.attemptUsage()
  }

  it('of the first chunk, of an answer that was broken off: what came since counts', () => {
    expect(seen(text(early), ...Array<string>(5_000).fill(text()))).toEqual({
      promptTokens: 1_000,
      completionTokens: 5_001,
      estimated: true,
    })
  })

  it('more than the chunks there were is the most that is known', () => {
    const told = { promptTokens: 9, completionTokens: 40, estimated: true }
    expect(seen(text(), report(9, 40), text())).toEqual(told)
  })

  it.each<[string, string[]]>([
    ['the last chunk', [text(), text('{"prompt_tokens":9,"completion_tokens":40}')]],
    ['each chunk', Array<string>(3).fill(text('{"prompt_tokens":9,"completion_tokens":40}'))],
    ['the last but for its finish reason', [text(), report(9, 40), bare]],
    ['the chunk with its finish reason', [text(), bare.replace('null', '{"prompt_tokens":9,"completion_tokens":40}')]],
  ])('one in %s is exact', (_where, chunks) => {
    expect(seen(...chunks)).toEqual({ promptTokens: 9, completionTokens: 40, estimated: false })
  })

  it('no tokens at all, of an answer: estimated', () => {
    const estimate = { promptTokens: 7, completionTokens: 2, estimated: true }
    expect(seen(text(), text(), report(0, 0))).toEqual(estimate)
    expect(seen(text(), text(), report(0, 2))).toEqual(estimate)
    expect(seen(text(), text(), '{"choices":[],"usage":{"completion_tokens":2}}')).toEqual(estimate)
    expect(seen(text(), text(), report(9, 0))).toEqual({ ...estimate, promptTokens: 9 })
  })

  it('no tokens of a document, or of an embedding', () => {
    const none = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
    const answer = new Meter(7, 1_000)
    answer.seeDocument(documentOf({ content: TEXT }), none, true)
    expect(answer.attemptUsage()).toEqual({ promptTokens: 7, completionTokens: 100, estimated: true })
    const noText = new Meter(7, 1_000)
    noText.seeDocument(documentOf({ content: TEXT }), { ...none, prompt_tokens: 9 }, true)
    expect(noText.attemptUsage()).toEqual({ promptTokens: 9, completionTokens: 100, estimated: true })
    const embedding = new Meter(7, 1_000)
    embedding.seeDocument('x'.repeat(400), none, false)
    expect(embedding.attemptUsage()).toEqual({ promptTokens: 7, completionTokens: 0, estimated: true })
  })

  it('is of its own attempt', () => {
    const meter = new Meter(7, 1_000)
    for (const chunk of [text(), text(), report(9, 2)]) meter.see(chunk)
    meter.nextAttempt()
    for (const chunk of [text(early), text()]) meter.see(chunk)
    expect(meter.attemptUsage()).toEqual({ promptTokens: 1_000, completionTokens: 2, estimated: true })
  })
})

const documentOf = (message: object): string =>
  JSON.stringify({ id: 'x'.repeat(400), choices: [{ index: 0, message, finish_reason: 'stop' }] })
const TEXT = 'x'.repeat(400)
const IMAGE = `data:image/png;base64,${'Q'.repeat(40_000)}`

it('counts a document by its own usage; an embedding has no output', () => {
  const reported = new Meter(7, 1_000)
  reported.seeDocument(documentOf({ content: TEXT }), { prompt_tokens: 3, completion_tokens: 4 }, true)
  expect(reported.usage()).toEqual({ promptTokens: 3, completionTokens: 4, estimated: false })
  const embedding = new Meter(7, 1_000)
  embedding.seeDocument('x'.repeat(400), { prompt_tokens: 3 }, false)
  expect(embedding.usage()).toEqual({ promptTokens: 3, completionTokens: 0, estimated: false })
})

it.each<[string, object, number]>([
  ['its text', { content: TEXT }, 100],
  ['its reasoning and its refusal', { reasoning_content: TEXT, refusal: TEXT }, 200],
  ['its parts', { content: [{ type: 'text', text: TEXT }] }, 100],
  ['its calls', { tool_calls: [{ id: TEXT, function: { name: 'f', arguments: TEXT } }] }, 100],
  ['not its images', { content: 'A', images: [IMAGE, 'Q'.repeat(40_000), { image_url: { url: IMAGE } }] }, 1],
  ['not the images in its content', { content: [{ type: 'image_url', image_url: { url: IMAGE } }] }, 0],
  ['of a sound what it says', { audio: { data: 'Q'.repeat(40_000), transcript: TEXT } }, 100],
])('counts of a document without usage %s', (_name, message, completionTokens) => {
  for (const usage of [undefined, { completion_tokens: 10 ** 12 }]) {
    const meter = new Meter(7, 1_000)
    meter.seeDocument(documentOf(message), usage, true)
    expect(meter.usage()).toEqual({ promptTokens: 7, completionTokens, estimated: true })
  }
})

it.each([
  ['numbers as texts', '{"choices":[],"usage":{"prompt_tokens":"9","completion_tokens":"4"}}'],
  ["Groq's", '{"choices":[{"index":0,"delta":{}}],"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":4}}}'],
])('reads %s', (_name, chunk) => {
  const meter = new Meter(7, 1_000)
  meter.see(token)
  meter.see(chunk)
  expect(meter.usage()).toEqual({ promptTokens: 9, completionTokens: 4, estimated: false })
})

it.each([
  '{"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}],"usage":{"prompt_tokens":9}}',
  '{"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":9}}',
])('takes %s, after text, for usage alone', (chunk) => {
  const meter = new Meter(7, 1_000)
  meter.see(token)
  expect(meter.see(chunk)).toBe('usage')
})

describe('kinds of tokens', () => {
  const reported = (usage: object): unknown => {
    const meter = new Meter(7, 1_000)
    meter.see(token)
    meter.see(`{"choices":[],"usage":${JSON.stringify(usage)}}`)
    return meter.attemptUsage()
  }
  const told = { prompt_tokens: 100, completion_tokens: 50 }
  const plain = { promptTokens: 100, completionTokens: 50, estimated: false }

  it.each<[string, object, object]>([
    [
      'all of them',
      {
        prompt_tokens_details: { cached_tokens: 10, cache_write_tokens: 20, audio_tokens: 30 },
        completion_tokens_details: { reasoning_tokens: 5, audio_tokens: 6 },
      },
      {
        cachedTokens: 10,
        cacheWriteTokens: 20,
        audioPromptTokens: 30,
        reasoningTokens: 5,
        audioCompletionTokens: 6,
      },
    ],
    [
      'those that most have none of are left out',
      {
        prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0 },
      },
      { cachedTokens: 0, reasoningTokens: 0 },
    ],
    ["DeepSeek's cache", { prompt_cache_hit_tokens: 64, prompt_cache_miss_tokens: 36 }, { cachedTokens: 64 }],
    ["Moonshot's cache", { cached_tokens: 64 }, { cachedTokens: 64 }],
    ["LiteLLM's name", { prompt_tokens_details: { cache_creation_tokens: 9 } }, { cacheWriteTokens: 9 }],
    [
      'parts larger than the whole are nonsense',
      {
        prompt_tokens_details: { cached_tokens: 101, audio_tokens: 101 },
        completion_tokens_details: { audio_tokens: 51 },
      },
      {},
    ],
    [
      'reasoning beside the answer, by the total',
      { total_tokens: 190, completion_tokens_details: { reasoning_tokens: 40 } },
      { completionTokens: 90, reasoningTokens: 40 },
    ],
    [
      'reasoning beside the answer, as it is more',
      { completion_tokens_details: { reasoning_tokens: 51 } },
      { completionTokens: 101, reasoningTokens: 51 },
    ],
    [
      'reasoning in the answer',
      { total_tokens: 150, completion_tokens_details: { reasoning_tokens: 40 } },
      { reasoningTokens: 40 },
    ],
  ])('%s', (_name, more, kinds) => {
    expect(reported({ ...told, ...more })).toEqual({ ...plain, ...kinds })
  })

  it('are summed over attempts', () => {
    const meter = new Meter(7, 1_000)
    const usage = { ...told, prompt_tokens_details: { cache_write_tokens: 2 } }
    for (let i = 0; i < 2; i++) {
      if (i > 0) meter.nextAttempt()
      meter.see(token)
      meter.see(`{"choices":[],"usage":${JSON.stringify(usage)}}`)
    }
    expect(meter.usage()).toEqual({ promptTokens: 200, completionTokens: 100, cacheWriteTokens: 4, estimated: false })
  })
})

it('a last chunk that has only its finish reason is no token', () => {
  const meter = new Meter(7, 1_000)
  for (let i = 0; i < 3; i++) meter.see(token)
  meter.see('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
  expect(meter.usage().completionTokens).toBe(3)
  meter.nextAttempt()
  meter.see(token)
  expect(meter.attemptUsage().completionTokens).toBe(1)
})
