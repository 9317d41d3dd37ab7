/** What an attempt measures, by the monotonic clock. */
import { describe, expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import type { Happened } from '../core/facts.ts'
import { isGood } from '../core/goals.ts'
import type { Job } from '../core/job.ts'
import type { Outcome } from '../core/ports/work.ts'
import type { Bytes } from '../core/record.ts'
import { CHUNK, DOCUMENT, OPENING, over, setUp, turn } from './testing/attempts.ts'

it('measures by the monotonic clock, whatever the wall clock does', async () => {
  const { clock, outcomes, firstTexts, attempt } = setUp()
  clock.advance(100)
  clock.jumpWall(-3_600_000)
  const { run, sink } = await attempt()
  clock.advance(50)
  clock.jumpWall(10 * 365 * 86_400_000)
  sink.events([CHUNK])
  clock.advance(40)
  sink.events([CHUNK, CHUNK])
  sink.end({ kind: 'done' })
  await over(run)
  expect(outcomes).toMatchObject([{ timing: { queuedMs: 100, ttftMs: 150, tpotMs: 20, totalMs: 190 } }])
  expect(firstTexts).toEqual([150])
})

it('keeps the time of the first token over a continued answer, and sums its tokens', async () => {
  const { clock, stored, outcomes, calls, attempt } = setUp([{}, {}])
  const first = await attempt()
  clock.advance(30)
  first.sink.events([OPENING, CHUNK, CHUNK])
  first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(first.run)
  expect(outcomes).toMatchObject([{ kind: 'failed', retry: true, usage: { completionTokens: 2, estimated: true } }])
  clock.advance(100)
  const second = await attempt()
  expect(calls[1].prefix).toBe('HiHi')
  clock.advance(20)
  second.sink.events([CHUNK, '{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}'])
  second.sink.end({ kind: 'done' })
  await over(second.run)
  expect(outcomes[1]).toMatchObject({
    kind: 'done',
    usage: { promptTokens: 8, completionTokens: 3, estimated: true },
    attemptUsage: { promptTokens: 5, completionTokens: 1, estimated: false },
    timing: { queuedMs: 100, ttftMs: 30, tpotMs: 60 },
  })
  // Its reader is told of all of it, under the first attempt's name
  expect(JSON.parse(stored.at(-1)!.slice('@usage '.length))).toMatchObject({
    id: 'c1',
    usage: { prompt_tokens: 8, completion_tokens: 3, total_tokens: 11, estimated: true },
  })
  expect(stored.filter((record) => record.startsWith('@usage'))).toHaveLength(1)
})

it('an answer that is begun anew has a first token of its own, under the identity of the first', async () => {
  const { clock, stored, outcomes, attempt } = setUp([{}, {}])
  const options = { deadlineMs: 60_000, onWorkerLoss: 'restart' } as Job['options']
  const first = await attempt({ options })
  clock.advance(30)
  first.sink.events([CHUNK])
  first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(first.run)
  const second = await attempt({ options })
  const from = stored.length
  clock.advance(20)
  second.sink.events([OPENING, CHUNK.replace('c1', 'c2')])
  expect(stored.slice(from)).toEqual([OPENING, CHUNK])
  second.sink.end({ kind: 'done' })
  await over(second.run)
  expect(outcomes[1]).toMatchObject({ kind: 'done', timing: { ttftMs: 50 } })
})

describe('the time to first token', () => {
  const partsOf = (facts: readonly Happened[]) =>
    facts.flatMap((fact) => (fact.type === 'first-token-received' ? [fact.parts] : []))

  it('goes to line, prompt, connection and upstream', async () => {
    const { clock, facts, outcomes, sent, holdPrompt, attempt } = setUp()
    const prompt = holdPrompt()
    clock.advance(100)
    const begun = attempt({ admissionMs: 7 }, 11)
    const run = await prompt.run
    clock.advance(5)
    prompt.now()
    const { sink } = await begun
    await turn()
    clock.advance(30)
    sent()
    clock.advance(200)
    sink.events([OPENING])
    clock.advance(50)
    sink.events([CHUNK])
    clock.advance(40)
    sink.end({ kind: 'done' })
    await over(run)
    const parts = { admission: 7, queue: 100, retries: 0, routing: 16, connect: 30, upstream: 250, delivery: 0 }
    expect(partsOf(facts)).toEqual([parts])
    expect(outcomes).toMatchObject([{ timing: { queuedMs: 100, ttftMs: 396, parts } }])
  })

  it('adds up to it, over failed and handed back attempts, and is that of the attempt that gave it', async () => {
    const random = mulberry(17)
    const some = (most: number): number => Math.floor(random() * most * 1_000) / 1_000
    for (let n = 0; n < 60; n++) {
      const { clock, facts, outcomes, sent, attempt } = setUp([{}, {}, {}, {}])
      let [queue, retries] = [0, 0]
      for (let failures = Math.floor(random() * 4); ; failures--) {
        const waited = 6_000 + some(300)
        clock.advance(waited)
        queue += waited
        const committing = some(30)
        const { run, sink } = await attempt({}, committing)
        const connecting = random() < 0.5 ? some(40) : null
        if (connecting !== null) {
          clock.advance(connecting)
          sent()
        }
        const answering = some(900)
        clock.advance(answering)
        if (failures > 0) {
          retries += committing + (connecting ?? 0) + answering
          if (random() < 0.3) run.stop('released')
          else sink.end({ kind: 'failed', error: new SluiceError('provider_error'), retry: true })
          await over(run)
          continue
        }
        sink.events([CHUNK])
        sink.end({ kind: 'done' })
        await over(run)
        const { timing } = outcomes.at(-1) as Outcome & { kind: 'done' }
        const [{ delivery: _none, ...parts }] = partsOf(facts)
        const truth = {
          admission: 0,
          queue,
          retries,
          routing: committing,
          connect: connecting ?? 0,
          upstream: answering,
        }
        for (const [part, ms] of Object.entries(truth)) expect(parts[part as keyof typeof parts]).toBeCloseTo(ms, 2)
        expect(Object.values(parts).reduce((sum, ms) => sum + ms)).toBeCloseTo(timing.ttftMs!, 2)
        break
      }
    }
  })

  it('of an answer that is continued is that of its first attempt, which told it', async () => {
    const { clock, facts, outcomes, attempt } = setUp()
    clock.advance(10)
    const first = await attempt()
    clock.advance(20)
    first.sink.events([CHUNK])
    first.run.stop('released')
    await over(first.run)
    clock.advance(500)
    const second = await attempt()
    second.sink.events([CHUNK])
    second.sink.end({ kind: 'done' })
    await over(second.run)
    expect(partsOf(facts)).toMatchObject([{ queue: 10, upstream: 20 }])
    expect(outcomes[1]).toMatchObject({ timing: { ttftMs: 30 } })
    expect((outcomes[1] as Outcome & { kind: 'done' }).timing).not.toHaveProperty('parts')
  })
})

describe('an answer that comes in one piece', () => {
  it('has no time to a first token: how long it took as a whole misses no goal for that', async () => {
    const { clock, facts, outcomes, attempt } = setUp()
    const { run, sink } = await attempt({ document: true })
    clock.advance(5_000)
    sink.document(DOCUMENT, { prompt_tokens: 5, completion_tokens: 100 })
    sink.end({ kind: 'done' })
    await over(run)
    expect(facts.find(({ type }) => type === 'first-token-received')).toMatchObject({ isWhole: true })
    const { timing } = outcomes[0] as Outcome & { kind: 'done' }
    expect(timing).toMatchObject({ totalMs: 5_000, parts: { upstream: 5_000 } })
    expect(timing).not.toHaveProperty('ttftMs')
    expect(isGood('done', timing, { ttftMs: 1_500, tpotMs: 50 })).toBe(true)
  })

  it('has one where chunks came before it', async () => {
    const { clock, facts, outcomes, attempt } = setUp()
    const { run, sink } = await attempt()
    clock.advance(30)
    sink.events([CHUNK])
    clock.advance(5_000)
    sink.document(DOCUMENT, null)
    sink.end({ kind: 'done' })
    await over(run)
    expect(facts.filter(({ type }) => type === 'first-token-received')).toEqual([
      expect.not.objectContaining({ isWhole: true }),
    ])
    expect(outcomes[0]).toMatchObject({ timing: { ttftMs: 30 } })
  })
})

describe('the pace', () => {
  const usage = (tokens: number, reasoning = 0): Bytes =>
    JSON.stringify({
      choices: [],
      usage: {
        prompt_tokens: 3,
        completion_tokens: tokens,
        completion_tokens_details: { reasoning_tokens: reasoning },
      },
    })
  const THOUGHT = CHUNK.replace('"content"', '"reasoning_content"')

  /** Three chunks, 100 ms apart, the first one alone. */
  async function paced(first: Bytes, last: Bytes): Promise<number | undefined> {
    const { clock, outcomes, attempt } = setUp()
    const { run, sink } = await attempt()
    clock.advance(300)
    sink.events([first])
    for (let i = 0; i < 2; i++) {
      clock.advance(100)
      sink.events([CHUNK])
    }
    clock.advance(70)
    sink.events([last])
    sink.end({ kind: 'done' })
    await over(run)
    return (outcomes[0] as Outcome & { kind: 'done' }).timing.tpotMs
  }

  it('is of tokens as they are reported, not of chunks; the usage ends nothing', async () => {
    // Three bundles of seven tokens: the first one's were there with the first
    expect(await paced(CHUNK, usage(21))).toBeCloseTo(200 / 14, 3)
  })

  it('counts no reasoning that was never shown', async () => {
    expect(await paced(CHUNK, usage(121, 100))).toBeCloseTo(200 / 14, 3)
    expect(await paced(THOUGHT, usage(21, 10))).toBeCloseTo(200 / 14, 3)
  })

  it('knows how many tokens the first chunk brought where it tells them', async () => {
    const first = CHUNK.replace(/\}$/, ',"usage":{"prompt_tokens":3,"completion_tokens":8}}')
    expect(await paced(first, usage(28))).toBe(10)
  })

  it('tells the progress of its own attempt where it goes on with an answer', async () => {
    const { clock, facts, attempt } = setUp()
    const first = await attempt()
    clock.advance(1_000)
    first.sink.events([CHUNK, CHUNK, CHUNK])
    first.run.stop('released')
    await over(first.run)
    const second = await attempt()
    clock.advance(1_000)
    second.sink.events([CHUNK, CHUNK])
    const told = facts.flatMap((fact) => (fact.type === 'attempt-progressed' ? [[fact.attempt, fact.tokens]] : []))
    expect(told).toEqual([
      [1, 3],
      [2, 2],
    ])
  })

  it('tells a stall, and progress twice a second', async () => {
    const { clock, facts, attempt } = setUp()
    const { sink } = await attempt()
    const SHORT = '{"choices":[{"delta":{"content":"x"}}]}'
    clock.advance(5_000)
    sink.events([OPENING])
    clock.advance(5_000)
    for (let i = 0; i < 20; i++) {
      sink.events([SHORT])
      clock.advance(100)
    }
    clock.advance(900)
    sink.events([SHORT])
    clock.advance(10)
    sink.events([SHORT])
    const told = facts.filter(({ type }) => type === 'attempt-progressed' || type === 'answer-stalled')
    expect(told).toMatchObject([
      ...[1, 6, 11, 16].map((tokens) => ({ type: 'attempt-progressed', attempt: 1, tokens })),
      { type: 'answer-stalled', ms: 1_000, deployment: 'd0' },
      { type: 'attempt-progressed', tokens: 21 },
    ])
  })
})

/** Numbers from 0 to 1, the same for the same seed. */
function mulberry(seed: number): () => number {
  let a = seed
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
