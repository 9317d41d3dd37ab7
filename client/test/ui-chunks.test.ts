/** What the ChatTransport shows of an answer is what `?dialect=ui` shows, and what is shown again after a reload. */
import { readUIMessageStream, type UIMessageChunk } from 'ai'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type JsonObject, MessageFold } from '../../src/core/fold.ts'
import type { WireEvent } from '../../src/core/frames.ts'
import { type Bytes, endRecord, resetRecord, toBytes, toText } from '../../src/core/record.ts'
import { uiStream } from '../../src/dialects/ui/stream.ts'
import { createChatTransport, loadMessages } from '../src/ai-sdk.ts'
import type { Sluice } from '../src/connect.ts'
import { Job, type Wire } from '../src/job.ts'

const JOB = { id: 'job_1', kind: 'chat', dialect: 'chat', model: 'demo', acceptedAtMs: 0, tenant: 'default' } as const
const RESET = 'reset'
type Step = JsonObject | typeof RESET

const chunk = (delta: JsonObject, finish: string | null = null): JsonObject => ({
  choices: [{ index: 0, delta, finish_reason: finish }],
})

function byDialect(steps: readonly Step[]): readonly UIMessageChunk[] {
  const records: Bytes[] = steps.map((one) =>
    one === RESET ? resetRecord('worker_lost') : toBytes(JSON.stringify(one)),
  )
  const run = { job: JOB.id, epoch: 1, firstSeq: 1, records: [...records, endRecord({ state: 'done' })] }
  return toText(uiStream.render(run, uiStream.begin(JOB), 0).events)
    .split('\n\n')
    .map((event) => event.slice(event.indexOf('data: ') + 6))
    .filter((data) => data.startsWith('{'))
    .map((data) => JSON.parse(data) as UIMessageChunk)
}

async function byTransport(steps: readonly Step[]): Promise<readonly UIMessageChunk[]> {
  const fetch = (): Promise<never> => Promise.reject(new Error('not asked'))
  const wire: Wire = { credit() {}, cancel: async () => {}, detach() {}, reattach() {}, report() {}, fetch }
  const job = new Job(wire, 1e6, { request: {} }, null, null)
  const transport = createChatTransport({ submit: () => job } as unknown as Sluice, { request: { model: 'demo' } })
  job.accept({ job: JOB.id, joined: false, queue: null })
  const told = await transport.sendMessages({
    trigger: 'submit-message',
    chatId: 'c',
    messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'Hi' }] }],
  })
  const events = steps.map((one): WireEvent => (one === RESET ? { reset: { reason: 'worker_lost' } } : { chunk: one }))
  if (events.length > 0) job.run({ seq: 1, cursor: `1-${events.length}`, e: events }, 10)
  job.end({ seq: events.length + 1, cursor: `1-${events.length + 1}`, state: 'done' })
  const chunks: UIMessageChunk[] = []
  for await (const one of told) chunks.push(one)
  return chunks
}

/** After a reload: the turn as the server keeps it. */
async function loaded(steps: readonly Step[]): Promise<unknown> {
  let fold = new MessageFold({ role: 'assistant', content: null })
  for (const one of steps) {
    if (one === RESET) fold = new MessageFold({ role: 'assistant', content: null })
    else fold.delta((one['choices'] as [{ delta: JsonObject }])[0].delta)
  }
  const turn = { job: JOB.id, state: 'done', messages: [{ role: 'user', content: 'Hi' }], answer: fold.message }
  const http = async (_method: string, path: string) =>
    path.startsWith('/v1/jobs') ? { data: [] } : { turns: [turn], next: null }
  return (await loadMessages({ http } as unknown as Sluice, 'c')).at(-1)!.parts
}

async function shown(chunks: readonly UIMessageChunk[]): Promise<unknown> {
  let parts: unknown
  for await (const message of readUIMessageStream({ stream: ReadableStream.from(chunks) as never }))
    parts = JSON.parse(JSON.stringify(message.parts, (key, value) => (key === 'id' ? undefined : value)))
  return parts
}

const call = (made: object, index?: number, id?: string): JsonObject =>
  chunk({ tool_calls: [{ ...(index !== undefined && { index }), ...(id !== undefined && { id }), ...made }] as never })
const fn = (name: string, input: unknown): object => ({ type: 'function', function: { name, arguments: input } })

const ANSWERS: Readonly<Record<string, readonly Step[]>> = {
  'texts in parts': [
    chunk({ content: [{ type: 'text', text: 'Hel' }] }),
    chunk({ content: [{ type: 'text', text: 'lo' }] }, 'stop'),
  ],
  'thought in parts': [
    chunk({ content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'hm' }] }] }),
    chunk({ content: [{ type: 'text', text: 'lo' }] }, 'stop'),
  ],
  'calls without ids': [call(fn('f', '{"a":1}'), 0), call(fn('g', '{"b":2}'), 1), chunk({}, 'tool_calls')],
  'a custom call': [call({ type: 'custom', custom: { name: 'f', input: 'free' } }, 0, 'x'), chunk({}, 'tool_calls')],
  'arguments that are an object': [call(fn('f', { a: 1 }), 0, 'x'), chunk({}, 'tool_calls')],
  'calls whose pieces come mixed': [
    ...[call(fn('f', '{"a"'), 0, 'x'), call(fn('g', '{"b"'), 1, 'y'), chunk({ content: 'Now.' })],
    ...[call({ function: { arguments: ':1}' } }, 0), call({ function: { arguments: ':2}' } }, 1)],
    chunk({}, 'tool_calls'),
  ],
  'the older form of a call': [chunk({ function_call: { name: 'f', arguments: '{"a":1}' } }, 'function_call')],
  'a filter': [chunk({ content: 'x' }, 'content_filter')],
  'what was taken back': [call(fn('f', '{}'), 0), RESET, chunk({ reasoning: 'hm', content: 'x' }, 'stop')],
}

it.each(Object.entries(ANSWERS))('%s: as the dialect shows them', async (name, steps) => {
  const told = await byTransport(steps)
  expect(told).toEqual(byDialect(steps))
  const parts = (await shown(told)) as ReadonlyArray<{ readonly type: string }>
  expect(parts.length).toBeGreaterThan(1) // more than the step's beginning
  // A whole message has no order of text and calls: its text comes first
  const sorted = (all: unknown): unknown => (all as Array<{ type: string }>).toSorted((a, b) => order(a) - order(b))
  const order = ({ type }: { readonly type: string }): number => ['step-start', 'reasoning', 'text'].indexOf(type) >>> 0
  expect(sorted(await loaded(steps)), name).toEqual(sorted(parts))
})

it('shows any answer as the dialect does', async () => {
  const piece = fc.oneof(
    fc.record({ content: fc.constantFrom('', 'a', ' b') }),
    fc.record({ reasoning_content: fc.constantFrom('', 'hm') }),
    fc.record({ refusal: fc.constant('no') }),
    fc
      .record(
        {
          index: fc.constantFrom(0, 1, 2),
          id: fc.constantFrom('x', 'y', ''),
          function: fc.record(
            { name: fc.constantFrom('f', 'g'), arguments: fc.constantFrom('', '{', '}', '{}', '{"a":1}', { a: 1 }) },
            { requiredKeys: [] },
          ),
        },
        { requiredKeys: ['function'] },
      )
      .map((item) => ({ tool_calls: [item] })),
  )
  const step = fc.oneof(
    { weight: 12, arbitrary: piece.map((delta): Step => chunk(delta as unknown as JsonObject)) },
    { weight: 1, arbitrary: fc.constant<Step>(RESET) },
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const told = await byTransport([chunk({ role: 'assistant' }), ...steps])
      expect(told).toEqual(byDialect([chunk({ role: 'assistant' }), ...steps]))
    }),
    { numRuns: 200 },
  )
})
