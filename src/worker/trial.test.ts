/** min_speed: an upstream that is too slow is left before anything is shown. */
import { describe, expect, it } from 'vitest'
import type { Shortfall } from '../core/limits.ts'
import type { ProviderSink } from '../core/ports/provider.ts'
import type { Bytes } from '../core/record.ts'
import type { Run } from './run-job.ts'
import { CHUNK, DOCUMENT, OPENING, over, setUp } from './testing/attempts.ts'

describe('min_speed', () => {
  /** 10 tokens in its first second. */
  const minSpeed = { tokensPerSecond: 10, overMs: 1_000 }
  const textOf = (stored: readonly Bytes[]): string => stored.filter((record) => record.includes('"Hi"')).join('\n')

  it('leaves a slow upstream for another one, unseen, and counts what it made', async () => {
    const { clock, stored, outcomes, facts, calls, used, attempt } = setUp([{ minSpeed }, { minSpeed }])
    const first = await attempt()
    first.sink.events([OPENING, CHUNK, CHUNK])
    clock.advance(999)
    expect(textOf(stored)).toBe('')
    clock.advance(1)
    await over(first.run)
    expect(outcomes[0]).toMatchObject({
      kind: 'failed',
      retry: true,
      error: { code: 'provider_timeout', message: expect.stringContaining('2 tokens in 1000 ms') },
      attemptUsage: { completionTokens: 2, estimated: true },
    })
    expect(facts.some(({ type }) => type === 'first-token-received')).toBe(false)
    // Not judged again: as slow as it is
    const second = await attempt()
    second.sink.events([CHUNK])
    expect(textOf(stored)).toContain('Hi')
    clock.advance(5_000)
    second.sink.events([CHUNK])
    second.sink.end({ kind: 'done' })
    await over(second.run)
    expect(outcomes[1]).toMatchObject({ kind: 'done', usage: { completionTokens: 2 } })
    expect(used.map(({ usage }) => usage.completionTokens)).toEqual([2, 2])
    expect(calls).toHaveLength(2)
    expect(calls[1].prefix).toBeUndefined()
  })

  it('lets it through as soon as there is enough, in its order', async () => {
    const { stored, attempt } = setUp([{ minSpeed }, {}])
    const { sink } = await attempt()
    const short = (i: number): Bytes => `{"choices":[{"index":0,"delta":{"content":"Hi ${i}"}}]}`
    for (let i = 1; i < 10; i++) sink.events([short(i)])
    expect(stored.filter((record) => record.includes('Hi '))).toEqual([])
    sink.events([short(10)])
    sink.events([short(11)])
    const texts = stored.filter((record) => record.includes('Hi ')).map((record) => /Hi (\d+)/.exec(record)![1])
    expect(texts).toEqual(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11'])
  })

  it('takes an upstream that bundles many tokens into one chunk for as fast as it is', async () => {
    const { clock, stored, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK.replace('Hi', 'Hi and a lot of other words that come in one piece, as some upstreams do it')])
    clock.advance(1_000)
    expect(stored.at(-1)).toContain('one piece')
    sink.end({ kind: 'done' })
    await over(run)
  })

  it.each([
    ['ended', ({ sink }: { sink: ProviderSink }) => sink.end({ kind: 'done' }), { kind: 'done' }],
    [
      'cut',
      ({ run }: { run: Run }) =>
        run.cut({ level: 'tenant', name: null, unit: 'output', limit: 1 } as unknown as Shortfall),
      { kind: 'done', cut: { unit: 'output' } },
    ],
  ])('keeps the text of one that is %s before its time is up', async (_how, end, outcome) => {
    const { stored, outcomes, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    end({ run, sink })
    await over(run)
    expect(textOf(stored)).not.toBe('')
    expect(outcomes).toMatchObject([outcome])
  })

  it('judges nothing where there is no other deployment, no stream, or no such setting', async () => {
    for (const [deployments, more] of [
      [[{ minSpeed }], {}],
      [[{}, {}], {}],
    ] as const) {
      const { stored, attempt } = setUp(deployments)
      const { sink } = await attempt(more)
      sink.events([CHUNK])
      expect(textOf(stored)).not.toBe('')
    }
    const { stored, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt({ document: true })
    sink.document(DOCUMENT, undefined)
    sink.end({ kind: 'done' })
    await over(run)
    expect(stored.at(-1)).toBe(`@document ${DOCUMENT}`)
  })

  it('shows nothing of a call that was given up, though its time comes before its end', async () => {
    const { clock, stored, outcomes, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK.replace('Hi', 'Hi and a lot of other words that come in one piece, as some upstreams do it')])
    run.breakCall()
    clock.advance(1_000)
    await over(run)
    expect(stored.filter((record) => record.includes('one piece'))).toEqual([])
    expect(outcomes).toMatchObject([{ kind: 'failed', retry: true }])
  })

  it('what throws when its time is up ends the attempt, and no more', async () => {
    const { clock, outcomes, faults, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    // Not looked at as it came: it is scanned, not parsed
    sink.events([CHUNK.slice(0, -1)])
    expect(() => clock.advance(1_000)).not.toThrow()
    await over(run)
    expect(outcomes).toMatchObject([{ kind: 'failed' }])
    expect(faults.length).toBeLessThanOrEqual(1)
  })

  it('a canceled one is over at once, and nothing of it is judged later', async () => {
    const { clock, stored, outcomes, attempt } = setUp([{ minSpeed }, {}])
    const { run, sink } = await attempt()
    sink.events([CHUNK])
    run.stop('canceled')
    await over(run)
    clock.advance(10_000)
    expect(textOf(stored)).toBe('')
    expect(outcomes).toMatchObject([{ kind: 'canceled', usage: { completionTokens: 1, estimated: true } }])
  })
})
