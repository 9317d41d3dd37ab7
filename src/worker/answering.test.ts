/** What a provider sends, on its way to the log. */
import { expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import type { Job } from '../core/job.ts'
import type { ProviderSink } from '../core/ports/provider.ts'
import { CHUNK, DOCUMENT, OPENING, over, setUp } from './testing/attempts.ts'

it('tells the plan what the upstream said of its limits, and how long ago', async () => {
  const { clock, outcomes, attempt } = setUp()
  const { run, sink } = await attempt({})
  clock.advance(10)
  sink.events([CHUNK])
  clock.advance(700)
  sink.end({ kind: 'done', limits: { requests: { remaining: 3 } } })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'done', quota: { agoMs: 700, requests: { remaining: 3 } } }])
})

it('a document after the chunks of an earlier attempt is one more chunk, under their name', async () => {
  const { stored, attempt } = setUp([{}, {}])
  const first = await attempt()
  first.sink.events([OPENING])
  first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(first.run)
  const second = await attempt()
  second.sink.document(DOCUMENT, undefined)
  second.sink.end({ kind: 'done' })
  await over(second.run)
  expect(JSON.parse(stored.at(-1)!)).toMatchObject({ id: 'c1', choices: [{ delta: { content: 'Hi' } }] })
})

it('an answer above the cap ends the job, and is not asked for again', async () => {
  const { outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.events([CHUNK.replace('Hi', 'x'.repeat(2_000))])
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed', retry: false, error: { code: 'result_too_large' } }])
})

it.each<[string, (sink: ProviderSink) => void, Partial<Job>]>([
  ['an event that can not be read', (sink) => sink.events(['{"choices":']), {}],
  ['a document that can not be read', (sink) => sink.document('{"choices":', undefined), {}],
])('%s ends the job, not the process', async (_name, feed, more) => {
  const { outcomes, attempt, stored } = setUp()
  stored.push(OPENING)
  const { run, sink } = await attempt(more)
  feed(sink)
  sink.end({ kind: 'done' })
  await over(run)
  expect(outcomes).toMatchObject([{ kind: 'failed' }])
})

it.each([
  ['is slower than the upstream', (sink: ProviderSink) => sink.events([CHUNK])],
  [
    'fails before the upstream breaks off',
    (sink: ProviderSink) => {
      sink.events([CHUNK])
      sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
    },
  ],
])('a store that fails and %s ends the attempt, not the process', async (_how, play) => {
  const { outcomes, attempt } = setUp([{}], { flush: true, finish: true })
  const { run, sink } = await attempt()
  play(sink)
  await over(run)
  expect(outcomes).toHaveLength(1)
})

it('what comes after a stop is not stored', async () => {
  const { stored, outcomes, attempt } = setUp()
  const { run, sink } = await attempt()
  sink.events([CHUNK])
  const had = [...stored]
  run.stop('canceled')
  sink.events([CHUNK])
  sink.document(DOCUMENT, null)
  await over(run)
  expect(stored).toEqual(had)
  expect(outcomes).toMatchObject([{ kind: 'canceled', usage: { completionTokens: 1 } }])
})
