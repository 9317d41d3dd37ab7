/** A second call of an attempt whose first one shows nothing for long. */
import { expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import type { ProviderCall, ProviderSink } from '../core/ports/provider.ts'
import type { Claim } from '../core/ports/work.ts'
import { CHUNK, OPENING, over, setUp, turn } from './testing/attempts.ts'

/** Both calls run: the first at d0 since 0 ms, the second at d1 since 100 ms. */
async function hedged() {
  const sinks: ProviderSink[] = []
  const aborted: string[] = []
  const provider = {
    continues: true,
    start(call: ProviderCall, to: ProviderSink) {
      sinks.push(to)
      return { sentMono: null, abort: () => void aborted.push(call.requestId), pause() {}, resume() {} }
    },
  } as never
  const hedge = async () => ({ deployment: 'd1', isHedge: true }) as Claim
  const stage = setUp([{ provider }, { provider }], {}, { hedge })
  const { run } = await stage.attempt({}, 0, { hedgeAfterMs: 100 })
  stage.clock.advance(100)
  await turn()
  await turn()
  expect(sinks).toHaveLength(2)
  return { ...stage, run, first: sinks[0], second: sinks[1], aborted }
}

const CUT = { kind: 'failed', error: new SluiceError('provider_cut'), retry: true } as const

it('that shows text first is the attempt: under its own name, and nothing of the other is stored', async () => {
  const { clock, run, first, second, stored, facts, aborted } = await hedged()
  first.events([OPENING])
  clock.advance(50)
  second.events([CHUNK])
  first.events([CHUNK.replace('Hi', 'too late')])
  second.end({ kind: 'done' })
  await over(run)
  expect(aborted).toEqual(['job_1.1'])
  expect(stored).toEqual([expect.stringContaining('"deployment":"d1"'), CHUNK])
  const told = facts.filter(({ type }) => ['first-token-received', 'attempt-hedged', 'attempt-ended'].includes(type))
  expect(told).toMatchObject([
    { type: 'attempt-hedged', deployment: 'd0', other: 'd1', won: 'second', end: 'outrun', afterMs: 100, tookMs: 50 },
    { type: 'first-token-received', deployment: 'd1', ttftMs: 150 },
    { type: 'attempt-ended', deployment: 'd1', isHedge: true, calledMs: 50 },
  ])
})

it('is let go where the first one shows text before it', async () => {
  const { run, first, second, stored, facts, aborted } = await hedged()
  first.events([CHUNK])
  second.events([CHUNK.replace('Hi', 'too late')])
  first.end({ kind: 'done' })
  await over(run)
  expect(aborted).toEqual(['job_1.1.hedge'])
  expect(stored).toEqual([expect.stringContaining('"deployment":"d0"'), CHUNK])
  expect(facts.filter(({ type }) => type === 'attempt-hedged')).toMatchObject([
    { deployment: 'd1', other: 'd0', won: 'first', end: 'outrun' },
  ])
  expect(facts.find(({ type }) => type === 'attempt-ended')).toMatchObject({ deployment: 'd0' })
})

it('goes on alone where the first one fails, whose failure is told', async () => {
  const { run, first, second, facts } = await hedged()
  first.end(CUT)
  second.events([CHUNK])
  second.end({ kind: 'done' })
  await over(run)
  expect(facts.filter(({ type }) => type === 'attempt-hedged')).toMatchObject([
    { deployment: 'd0', other: 'd1', won: 'second', end: 'failed', code: 'provider_cut' },
  ])
})
