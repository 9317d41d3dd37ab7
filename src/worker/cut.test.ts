/** An answer that reaches a limit, from the cut to its end. */
import { describe, expect, it } from 'vitest'
import { foldAnswer } from '../core/answer.ts'
import { type Shortfall, wireLimit } from '../core/limits.ts'
import type { Bytes } from '../core/record.ts'
import { CHUNK, DOCUMENT, OPENING, over, setUp, turn } from './testing/attempts.ts'

describe('an answer that is cut', () => {
  const CAUSE: Shortfall = {
    level: 'user',
    name: 'u',
    unit: 'tokens',
    limit: 10,
    weight: 11,
    left: 0,
    waitMs: 1_000,
  }
  const USAGE = '{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}'
  const ended = (index: number, reason: string): Bytes =>
    `{"id":"c1","choices":[{"index":${index},"delta":{},"finish_reason":"${reason}"}]}`
  const reasons = (stored: readonly Bytes[]): unknown =>
    foldAnswer(stored).choices.map(({ index, finishReason }) => [index, finishReason])

  it('ends well: each choice that has no end gets one, and what was seen is its usage', async () => {
    const { stored, outcomes, used, facts, attempt } = setUp([{}], {}, { body: '{"messages":[],"n":3}' })
    const { run, sink } = await attempt()
    sink.events([OPENING, CHUNK, CHUNK.replace('"index":0', '"index":1'), ended(1, 'stop')])
    sink.events([CHUNK])
    run.cut(CAUSE)
    run.cut(CAUSE)
    sink.events([CHUNK])
    await over(run)
    const head = '{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":['
    const cut = JSON.stringify(wireLimit(CAUSE))
    expect(stored.slice(-3)).toEqual([
      ...[0, 2].map(
        (index) =>
          `${head}{"index":${index},"delta":{},"logprobs":null,"finish_reason":"length","sluice":{"cut":${cut}}}]}`,
      ),
      `@usage ${head}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"estimated":true}}`,
    ])
    expect(reasons(stored)).toEqual([
      [0, 'length'],
      [1, 'stop'],
      [2, 'length'],
    ])
    const usage = { promptTokens: 3, completionTokens: 4, estimated: true }
    expect(outcomes).toMatchObject([{ kind: 'done', cut: CAUSE, usage, attemptUsage: usage }])
    expect(used).toMatchObject([{ end: 'cut', usage, nanoDollars: 304, priceVersion: 'p1' }])
    expect(facts.filter(({ type }) => type === 'answer-cut')).toMatchObject([
      { job: 'job_1', attempt: 1, deployment: 'd0', limitLevel: 'user', unit: 'tokens', window: null },
    ])
  })

  it('of which nothing is there yet has an end, too', async () => {
    const { stored, outcomes, attempt } = setUp()
    const { run } = await attempt()
    run.cut(CAUSE)
    await over(run)
    expect(JSON.parse(stored.at(-2)!)).toMatchObject({
      id: 'chatcmpl-job_1',
      model: 'm',
      object: 'chat.completion.chunk',
      choices: [{ sluice: { cut: { level: 'user', name: 'u', requested: 11 } } }],
    })
    expect([reasons(stored), outcomes[0].kind]).toEqual([[[0, 'length']], 'done'])
  })

  it('tells its own client whose limit it was, and nobody with whom the answer may be shared', async () => {
    const { stored, attempt } = setUp()
    const { run, sink } = await attempt({ share: { key: 'k' } as never })
    sink.events([CHUNK])
    run.cut(CAUSE)
    await over(run)
    const { choices } = JSON.parse(stored.at(-2)!)
    expect(choices[0].sluice.cut).toEqual({ level: 'user', unit: 'tokens', limit: 10, requested: 11, reset_ms: 1_000 })
  })

  it('when it had come to its end is complete, and its usage is waited for', async () => {
    const { stored, outcomes, used, attempt } = setUp()
    const { run, sink } = await attempt()
    sink.events([CHUNK, ended(0, 'stop')])
    run.cut(CAUSE)
    sink.events([USAGE])
    sink.end({ kind: 'done' })
    await over(run)
    expect(reasons(stored)).toEqual([[0, 'stop']])
    expect(outcomes).toMatchObject([
      { kind: 'done', usage: { promptTokens: 5, completionTokens: 1, estimated: false } },
    ])
    expect([outcomes[0], used[0].end]).toEqual([expect.not.objectContaining({ cut: CAUSE }), 'done'])
  })

  it('whose upstream gives each chunk a reason ends, too', async () => {
    const { outcomes, attempt } = setUp()
    const { run, sink } = await attempt()
    for (let i = 0; i < 2; i++) {
      sink.events([CHUNK.replace('null', '"stop"')])
      run.cut(CAUSE)
    }
    await over(run)
    // No choice is open
    expect(outcomes).toEqual([expect.not.objectContaining({ cut: CAUSE })])
    expect(outcomes).toMatchObject([{ kind: 'done', usage: { completionTokens: 2 } }])
  })

  it('came in one piece: it is complete', async () => {
    const { stored, outcomes, attempt } = setUp()
    const { run, sink } = await attempt({ document: true })
    sink.document(DOCUMENT, { prompt_tokens: 5, completion_tokens: 2 })
    run.cut(CAUSE)
    sink.end({ kind: 'done' })
    await over(run)
    expect(stored.at(-1)).toBe(`@document ${DOCUMENT}`)
    expect(outcomes).toEqual([expect.not.objectContaining({ cut: CAUSE })])
  })

  it('is a turn of its conversation', async () => {
    const { outcomes, attempt } = setUp()
    const { run, sink } = await attempt({ options: { deadlineMs: 60_000, conversation: 'c' } as never })
    sink.events([CHUNK])
    run.cut(CAUSE)
    await over(run)
    expect(outcomes).toMatchObject([{ kind: 'done', cut: CAUSE, answer: '{"role":"assistant","content":"Hi"}' }])
  })

  it.each(['canceled', 'lost'] as const)('and then %s is what it is then', async (reason) => {
    const { outcomes, attempt } = setUp([{}], { away: 1 })
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    run.cut(CAUSE)
    await turn()
    run.stop(reason)
    await over(run)
    expect(outcomes.map(({ kind }) => kind)).toEqual(reason === 'lost' ? [] : [reason])
  })
})
