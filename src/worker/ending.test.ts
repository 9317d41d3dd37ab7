/** What the end of an attempt means, by the real coordinator, and what it came to. */
import { describe, expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import type { ProviderSink } from '../core/ports/provider.ts'
import { BUSY, CHUNK, FAULT, over, setUp, turn } from './testing/attempts.ts'

it('a 429 uses up no attempt until the deadline, whatever the wall clock does', async () => {
  const { clock, outcomes, attempt } = setUp()
  const refuse = async (): Promise<void> => {
    const { run, sink } = await attempt()
    sink.end({ kind: 'failed', error: BUSY, retry: true })
    await over(run)
  }
  clock.jumpWall(10 * 365 * 86_400_000)
  await refuse()
  expect(outcomes.at(-1)).toEqual({ kind: 'released' })
  clock.advance(40_000)
  await refuse()
  expect(outcomes.at(-1)).toEqual({ kind: 'released' })
  clock.jumpWall(-20 * 365 * 86_400_000)
  // The wait would end after the deadline: it is told now, with the time
  clock.advance(18_000)
  await refuse()
  expect(outcomes.at(-1)).toMatchObject({ kind: 'failed', retry: false, error: { code: 'provider_rate_limited' } })
})

it('local faults wait, without an attempt used', async () => {
  const { outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.end({ kind: 'failed', error: new SluiceError('overloaded', { retryAfterMs: 1_000 }), retry: true })
  await over(run)
  expect(outcomes).toEqual([{ kind: 'released' }])
})

it('a time-out is repeated elsewhere, or not at all', async () => {
  const error = new SluiceError('provider_timeout')
  for (const [deployments, retry] of [
    [[{}], false],
    [[{}, {}], true],
  ] as const) {
    const { outcomes, attempt } = setUp(deployments)
    const { run, sink } = await attempt()
    sink.end({ kind: 'failed', error, retry: 'elsewhere' })
    await over(run)
    expect(outcomes).toMatchObject([{ kind: 'failed', retry }])
  }
})

it('another deployment does not wait until the first is free', async () => {
  const { outcomes, attempt } = setUp([{}, {}])
  const { run, sink } = await attempt()
  sink.end({ kind: 'failed', error: new SluiceError('provider_error', { retryAfterMs: 9_000 }), retry: true })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed', retry: true }])
  expect((await attempt()).run.lease.claim.deployment).toBe('d1')
})

it('a store that can not be read, then an upstream that breaks off, ends the attempt', async () => {
  const broken = { read: false }
  const { outcomes, attempt } = setUp([{}], broken)
  const { run, sink } = await attempt()
  sink.events([CHUNK])
  broken.read = true
  sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed', error: { code: 'internal' } }])
})

it.each([
  ['while its end is told', { emit: true }, FAULT],
  ['while it is finished', { finishOnce: FAULT }, FAULT],
  ['in one write of the store', { finishOnce: new SluiceError('internal') }, new SluiceError('internal')],
])('a fault of ours %s ends the job, and is logged', async (_when, broken, fault) => {
  const { outcomes, faults, attempt } = setUp([{}], broken)
  const { run, sink } = await attempt()
  sink.events([CHUNK])
  sink.end({ kind: 'done' })
  await over(run)
  expect(faults).toEqual([fault])
  expect(outcomes).toMatchObject([{ kind: 'failed', error: { code: 'internal' }, retry: false }])
})

it('a call that the provider aborts by itself is a fault, and is tried again', async () => {
  const { outcomes, faults, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.end({ kind: 'aborted' })
  await over(run)
  expect(faults).toEqual([new Error('the provider aborted a call that nobody had stopped')])
  expect(outcomes).toMatchObject([{ kind: 'failed', error: { code: 'internal' }, retry: true }])
})

it('a store that can not be written leaves the lease to a restart', async () => {
  const { outcomes, faults, attempt } = setUp([{ concurrent: 1 }], { finish: true })
  const { run, sink } = await attempt()
  sink.end({ kind: 'done' })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'done' }])
  expect(faults).toEqual([])
})

it('a conversation whose answer can not be put together fails, and its lane goes on', async () => {
  const { outcomes, attempt, stored } = setUp()
  const { run, sink } = await attempt({ options: { deadlineMs: 60_000, conversation: 'c' } as never })
  sink.events([CHUNK])
  stored.push('{"half":')
  sink.end({ kind: 'done' })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed', retry: false, error: { code: 'provider_garbage' } }])
})

it.each([
  ['for a while is waited for, and the answer is a turn of its conversation', 3, { kind: 'done' }],
  ['for good ends the attempt', Infinity, { kind: 'failed', error: { code: 'storage_unavailable' } }],
] as const)('a store that is away when a complete answer is read back %s', async (_how, away, ended) => {
  const { outcomes, attempt, clock } = setUp([{}], { away })
  const { run, sink } = await attempt({ options: { deadlineMs: 60_000, conversation: 'c' } as never })
  sink.events([CHUNK])
  sink.end({ kind: 'done' })
  for (let s = 0; s < 400; s++) {
    clock.advance(1_000)
    await turn()
  }
  await over(run)
  expect(outcomes).toMatchObject([ended])
})

it.each([
  ['provider_unreachable', 0],
  ['provider_rejected', 0],
  ['provider_auth', 0],
  ['provider_error', 0],
  ['provider_timeout', 3],
] as const)('an attempt of which nothing came, and that ended with %s, costs %i tokens', async (code, promptTokens) => {
  const { outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.end({ kind: 'failed', error: new SluiceError(code), retry: false })
  await over(run)
  expect(outcomes).toMatchObject([{ usage: { promptTokens, completionTokens: 0 } }])
})

it('a refusal after text costs what was shown', async () => {
  const { outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.events([CHUNK])
  sink.end({ kind: 'failed', error: new SluiceError('provider_rejected'), retry: false })
  await over(run)
  expect(outcomes).toMatchObject([{ usage: { promptTokens: 3, completionTokens: 1 } }])
})

it('a failure whose wait ends after the deadline is told at once, with the time; also of a later attempt', async () => {
  const { clock, outcomes, attempt } = setUp()
  const fail = async (retryAfterMs: number): Promise<void> => {
    const { run, sink } = await attempt()
    sink.end({ kind: 'failed', error: new SluiceError('provider_error', { retryAfterMs }), retry: true })
    await over(run)
  }
  await fail(40_000)
  expect(outcomes.at(-1)).toMatchObject({ retry: true })
  clock.advance(40_001)
  await fail(40_000)
  expect(outcomes.at(-1)).toMatchObject({ kind: 'failed', retry: false, error: { retryAfterMs: 40_000 } })
})

it('a wait counts though there is another deployment, where that must be waited for too', async () => {
  for (const code of ['provider_error', 'provider_rate_limited'] as const) {
    const { outcomes, attempt } = setUp([{}, {}])
    for (let i = 0; i < 2; i++) {
      const { run, sink } = await attempt()
      sink.end({ kind: 'failed', error: new SluiceError(code, { retryAfterMs: 120_000 }), retry: true })
      await over(run)
    }
    expect(outcomes[0]).toMatchObject(
      code === 'provider_error' ? { kind: 'failed', retry: true } : { kind: 'released' },
    )
    expect(outcomes[1]).toMatchObject({ kind: 'failed', retry: false, error: { retryAfterMs: 120_000 } })
  }
})

describe('what an attempt came to', () => {
  it.each(['canceled', 'released'] as const)('is nothing where it is %s before its call', async (reason) => {
    const { outcomes, used, facts, attempt, holdPrompt } = setUp()
    const go = holdPrompt()
    const beginning = attempt()
    const run = await go.run
    run.stop(reason)
    go.now()
    await over(run)
    await beginning
    expect([outcomes.map(({ kind }) => kind), used]).toEqual([[reason], []])
    expect(facts.find(({ type }) => type === 'attempt-ended')).not.toHaveProperty('usage')
  })

  it('is nothing where a later one is canceled before its call, and its job keeps what the first came to', async () => {
    const { outcomes, used, attempt, holdPrompt } = setUp([{}, {}])
    const first = await attempt()
    first.sink.events([CHUNK])
    first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
    await over(first.run)
    const go = holdPrompt()
    const beginning = attempt()
    const run = await go.run
    run.stop('canceled')
    go.now()
    await over(run)
    await beginning
    expect(used).toMatchObject([{ attempt: 1, end: 'failed', usage: { promptTokens: 3, completionTokens: 1 } }])
    expect(outcomes[1]).toMatchObject({ kind: 'canceled', usage: { promptTokens: 3, completionTokens: 1 } })
  })

  it('is told by one that is handed back in the middle of its answer', async () => {
    const { used, attempt } = setUp()
    const { run, sink } = await attempt()
    sink.events([CHUNK, CHUNK])
    run.stop('released')
    await over(run)
    expect(used).toMatchObject([
      { end: 'released', usage: { promptTokens: 3, completionTokens: 2, estimated: true }, nanoDollars: 302 },
    ])
  })

  it.each<[string, { finishOnce?: Error }, (sink: ProviderSink) => void]>([
    ['that its provider aborts', {}, (sink) => sink.end({ kind: 'aborted' })],
    ['whose end can not be stored for a fault of ours', { finishOnce: FAULT }, (sink) => sink.end({ kind: 'done' })],
  ])('is told by one %s', async (_name, broken, end) => {
    const { used, attempt } = setUp([{}], broken)
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    end(sink)
    await over(run)
    expect(used).toMatchObject([{ end: 'failed', usage: { promptTokens: 3, completionTokens: 1 }, nanoDollars: 301 }])
  })

  it('is told once, as the provider reported it', async () => {
    const { used, attempt } = setUp()
    const { run, sink } = await attempt()
    const kinds = '"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":6}'
    sink.events([CHUNK, `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,${kinds}}}`])
    sink.end({ kind: 'done' })
    await over(run)
    expect(used).toMatchObject([
      {
        job: 'job_1',
        attempt: 1,
        deployment: 'd0',
        end: 'done',
        usage: { promptTokens: 5, completionTokens: 7, cachedTokens: 4, reasoningTokens: 6, estimated: false },
        nanoDollars: 507,
        priceVersion: 'p1',
      },
    ])
  })
})

describe('a store that is away while the log is read is not waited for', () => {
  it.each([
    ['canceled', ['canceled']],
    ['released', ['released']],
    ['lost', []],
  ] as const)('by an attempt that is %s', async (reason, ended) => {
    for (const conversation of [{}, { conversation: 'c' }]) {
      const { outcomes, attempt } = setUp([{}], { away: Infinity })
      const { run, sink } = await attempt({ options: { deadlineMs: 60_000, ...conversation } as never })
      sink.events([CHUNK])
      const failed = { kind: 'failed', error: new SluiceError('provider_cut'), retry: true } as const
      sink.end('conversation' in conversation ? { kind: 'done' } : failed)
      await turn()
      run.stop(reason)
      await over(run)
      expect(outcomes.map(({ kind }) => kind)).toEqual(ended)
    }
  })
})
