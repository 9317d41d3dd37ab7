/** An attempt from its lease to its call, and how it is stopped. */
import { expect, it } from 'vitest'
import { createAnswerGuards } from '../admission/answers.ts'
import { guardSettings } from '../admission/settings.ts'
import { SluiceError } from '../core/errors.ts'
import type { ProviderCall, ProviderSink } from '../core/ports/provider.ts'
import { createPrompts, type PromptOptions } from './prompt.ts'
import { CHUNK, DOCUMENT, OPENING, over, setUp, turn } from './testing/attempts.ts'

it('asks for a document where the job wants one, stores it as it is, and counts it', async () => {
  const { stored, outcomes, calls, attempt } = setUp()
  const { run, sink } = await attempt({ document: true })
  expect(calls[0].stream).toBe(false)
  sink.document(DOCUMENT, { prompt_tokens: 5, completion_tokens: 2 })
  sink.end({ kind: 'done' })
  await over(run)
  expect(stored.at(-1)).toBe(`@document ${DOCUMENT}`)
  expect(outcomes).toMatchObject([{ kind: 'done', usage: { promptTokens: 5, completionTokens: 2, estimated: false } }])
})

it('what answers in place of another model is asked for by its own name, and told what was left', async () => {
  const models = [{ model: 'instead' }, { model: 'instead', upstreamModel: 'theirs' }, {}]
  const asked: string[] = []
  for (const { model, ...more } of models as ReadonlyArray<{ model?: string; upstreamModel?: string }>) {
    const { calls, attempt } = setUp([more], {}, { body: '{"model":"m","messages":[]}' })
    await attempt({}, 0, model === undefined ? {} : { model })
    asked.push(Buffer.from(calls[0].body).toString())
  }
  // Where the deployment has a name for it, the provider puts that
  expect(asked.map((body) => (JSON.parse(body) as { model: string }).model)).toEqual(['instead', 'm', 'm'])
})

it.each([
  ['always', true],
  ['never', false],
] as const)('asks by the deployment where that is set: %s', async (stream, asks) => {
  const { calls, attempt } = setUp([{ stream }])
  await attempt({ document: asks })
  expect(calls[0].stream).toBe(asks)
})

it.each(['canceled', 'released'] as const)('%s: an answer that has ended waits for no verdict', async (reason) => {
  let sink!: ProviderSink
  const provider = {
    continues: true,
    start(_call: ProviderCall, to: ProviderSink) {
      sink = to
      // Its call has ended by then
      return { abort() {}, pause() {}, resume() {} }
    },
  }
  const settings = guardSettings.parse([{ guard: 'moderation', url: 'http://127.0.0.1:1/v1/moderations' }])
  const moderate = () => new Promise<never>(() => {})
  const guards = createAnswerGuards(() => settings, { moderate, emit() {}, onFault() {} })
  const body = '{"messages":[{"role":"user","content":"Hi"}]}'
  const { stored, outcomes, attempt } = setUp([{ provider: provider as never }], {}, { guards, body })
  const { run } = await attempt()
  sink.events([CHUNK])
  sink.end({ kind: 'done' })
  const before = stored.length
  expect(outcomes).toEqual([])
  run.stop(reason)
  await turn()
  expect([outcomes.map(({ kind }) => kind), stored.length]).toEqual([[reason], before])
})

it.each([
  ['lost', []],
  ['canceled', [{ kind: 'canceled' }]],
  ['released', [{ kind: 'released' }]],
] as const)('an attempt that is %s while its prompt is made ends without a call', async (reason, ended) => {
  const { outcomes, calls, attempt, holdPrompt } = setUp()
  const go = holdPrompt()
  const beginning = attempt()
  await new Promise((turn) => setImmediate(turn))
  const run = await go.run
  run.stop(reason)
  go.now()
  await over(run)
  await beginning
  expect(calls).toEqual([])
  expect(outcomes).toMatchObject(ended)
})

it.each([
  ['lost', []],
  ['canceled', ['canceled']],
  ['released', ['released']],
] as const)('an attempt that is %s waits no longer for an end that is not stored yet', async (reason, ended) => {
  const waits = new Set<() => void>()
  const after = (_ms: number, next: () => void) => {
    waits.add(next)
    return () => void waits.delete(next)
  }
  const prompt = createPrompts({
    jobs: { get: async () => ({ state: 'running' }) },
    clock: { after },
  } as unknown as PromptOptions)
  const { outcomes, calls, faults, attempt } = setUp([{}], {}, { prompt })
  const { run } = await attempt({ after: ['job_0'] })
  expect(waits.size).toBe(1)
  run.stop(reason)
  await turn()
  expect([outcomes.map(({ kind }) => kind), calls, faults, waits.size]).toEqual([ended, [], [], 0])
})

it('a deployment that was taken out of the configuration hands the job back, and nothing is stored', async () => {
  const { outcomes, stored, attempt, remove } = setUp()
  remove()
  const { run } = await attempt()
  await over(run)
  expect([outcomes, stored]).toEqual([[{ kind: 'released', inMs: 1_000 }], []])
})

it('a long answer is continued from all of it, page by page', async () => {
  const { calls, attempt } = setUp([{}, {}], { pageRecords: 2 })
  const first = await attempt()
  first.sink.events([OPENING, CHUNK, CHUNK, CHUNK, CHUNK])
  first.sink.end({ kind: 'failed', error: new SluiceError('provider_cut'), retry: true })
  await over(first.run)
  await attempt()
  expect(calls[1].prefix).toBe('HiHiHiHi')
})
