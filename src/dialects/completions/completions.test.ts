import { describe, expect, it } from 'vitest'
import { SluiceError } from '../../core/errors.ts'
import type { Usage } from '../../core/job.ts'
import type { Rendering } from '../../core/ports/dialect.ts'
import { type Bytes, documentRecord, endRecord, toBytes, toText, usageRecord } from '../../core/record.ts'
import { completions } from './completions.ts'
import { request } from './request.ts'

type Loose = ReturnType<typeof JSON.parse>
const JOB: Rendering = {
  tenant: 'default',
  ...{ id: 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV', kind: 'chat', dialect: 'completions', model: 'm', acceptedAtMs: 0 },
  shownAs: { include_usage: true },
}
const HEAD = { id: 'cmpl-1', object: 'chat.completion.chunk', created: 7, model: 'real' }
const chunk = (delta: object, finish: string | null = null, more: object = {}): Bytes =>
  toBytes(JSON.stringify({ ...HEAD, choices: [{ index: 0, delta, finish_reason: finish, ...more }] }))
const reported = (usage: object): Bytes => usageRecord(toBytes(JSON.stringify({ ...HEAD, choices: [], usage })))
const CHARGED: Usage = { promptTokens: 10, completionTokens: 104, reasoningTokens: 99, estimated: false }
const done = endRecord({ state: 'done', usage: CHARGED })

const stream = completions.stream!
/** `cut`: in two runs, as it comes. */
function events(records: readonly Bytes[], { known = 0, cut = 0, job = JOB } = {}): string {
  const { events: first, state } = stream.render(
    { job: job.id, epoch: 1, firstSeq: 1, records: records.slice(0, cut) },
    stream.begin(job),
    known,
  )
  const rest = { job: job.id, epoch: 1, firstSeq: 1 + cut, records: records.slice(cut) }
  return toText(first + stream.render(rest, state, known).events)
}
const told = (records: readonly Bytes[]): readonly Loose[] =>
  [...events(records).matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data))
function whole(records: readonly Bytes[]): Loose {
  const answer = completions.whole(JOB)
  answer.take(records)
  return JSON.parse(toText(answer.reply().body))
}

describe('usage', () => {
  it.each<[string, object[]]>([
    ['nonsense', [{ prompt_tokens: -5, completion_tokens: '7', total_tokens: 1e30 }]],
    ['less than is charged', [{ prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }]],
    ['another prompt', [{ prompt_tokens: 1, completion_tokens: 104, total_tokens: 105 }]],
    ['nothing', []],
    [
      'twice',
      [
        { prompt_tokens: 10, completion_tokens: 104 },
        { prompt_tokens: 10, completion_tokens: 3 },
      ],
    ],
  ])('is what is charged where the upstream tells %s: streamed and whole', (_name, usages) => {
    const log = [chunk({ content: 'a' }), chunk({ content: 'b' }, 'stop'), ...usages.map(reported), done]
    const last = told(log).at(-1)
    expect(last).toMatchObject({ ...HEAD, object: 'text_completion', choices: [] })
    expect(last.usage).toEqual({
      ...{ prompt_tokens: 10, completion_tokens: 104, total_tokens: 114, estimated: false },
      completion_tokens_details: { reasoning_tokens: 99 },
    })
    expect(told(log).filter(({ usage }) => usage)).toHaveLength(1)
    expect(whole(log).usage).toEqual(last.usage)
  })
  it("is the upstream's own where that is charged", () => {
    const usage = { prompt_tokens: 10, completion_tokens: 104, x_more: true }
    const log = [chunk({ content: 'a' }, 'stop'), reported(usage), done]
    expect(told(log).at(-1).usage).toEqual(usage)
    expect(whole(log).usage).toEqual(usage)
    const document = { ...HEAD, choices: [{ index: 0, message: { content: 'a' }, finish_reason: 'stop' }], usage }
    expect(told([documentRecord(toBytes(JSON.stringify(document))), done]).at(-1).usage).toEqual(usage)
  })
  it('is not told to who has not asked, nor after a failure', () => {
    const log = [chunk({ content: 'a' }, 'stop'), reported({ prompt_tokens: 10 })]
    expect(events([...log, done], { job: { ...JOB, shownAs: undefined } })).not.toContain('usage')
    const failed = endRecord({ state: 'failed', error: new SluiceError('provider_cut').wire, usage: CHARGED })
    expect(events([...log, failed])).not.toContain('usage')
  })
  it('comes before the end, wherever a reader goes on, and however the log comes', () => {
    const log = [chunk({ content: 'a' }), chunk({ content: 'b' }, 'stop'), reported({ prompt_tokens: 10 }), done]
    const all = events(log)
    for (let cut = 0; cut <= log.length; cut++) expect(events(log, { cut })).toBe(all)
    for (const known of [1, 2, 3]) expect(all.endsWith(events(log, { known }))).toBe(true)
    expect(events(log, { known: 3 })).toMatch(/^data: .*"usage".*\n\nid: 1-4\ndata: \[DONE\]\n\n$/)
    expect(events(log, { known: 4 })).toBe('')
  })
})

describe('what an answer has beside text', () => {
  it.each<[string, object, string]>([
    ['a refusal', { content: null, refusal: 'No.' }, 'No.'],
    ['what was spoken', { content: null, audio: { id: 'a', data: 'AA==', transcript: 'Hello.' } }, 'Hello.'],
  ])('%s is its text: streamed and whole', (_name, message, text) => {
    const log = [chunk(message), chunk({}, 'stop'), done]
    expect(
      told(log)
        .map(({ choices }) => choices[0]?.text ?? '')
        .join(''),
    ).toBe(text)
    expect(whole(log).choices[0].text).toBe(text)
  })
  it("engines' own members of a choice stay in it", () => {
    const log = [chunk({ content: 'a' }, null, { token_ids: [5] }), chunk({}, 'stop', { stop_reason: '###' }), done]
    expect(told(log)[0].choices[0]).toMatchObject({ text: 'a', token_ids: [5] })
    expect(told(log)[1].choices[0]).toMatchObject({ text: '', finish_reason: 'stop', stop_reason: '###' })
    expect(whole(log).choices[0]).toMatchObject({ text: 'a', stop_reason: '###', logprobs: null })
  })
})

it('says what to set for clients that send several prompts', () => {
  const sent = { model: 'm', prompt: ['a', 'b'] }
  expect(() => request.read(sent, new Uint8Array())).toThrow(/2 prompts.*batchSize: 1.*batch_size=1.*\/v1\/jobs/)
})
