/** Drives a stage as a provider and the worker do. */
import type { z } from 'zod'
import { foldAnswer } from '../../core/answer.ts'
import type { Choice } from '../../core/answer-fold.ts'
import type { Happened } from '../../core/facts.ts'
import type { Json, JsonObject } from '../../core/fold.ts'
import type { Job } from '../../core/job.ts'
import type { Stage } from '../../core/ports/admission.ts'
import type { ProviderEnd } from '../../core/ports/provider.ts'
import { type Bytes, documentRecord, toBytes, toText } from '../../core/record.ts'
import type { Moderate } from '../answer/moderating.ts'
import { createAnswerGuards } from '../answers.ts'
import { guardSettings } from '../settings.ts'

export type GuardInput = z.input<typeof guardSettings>[number]

export interface Staged {
  /** Null: the guards have nothing to do with it. */
  readonly stage: Stage | null
  /** What reached the log. */
  readonly records: Bytes[]
  readonly ends: ProviderEnd[]
  readonly facts: Happened[]
  readonly faults: unknown[]
  /** Was the call aborted? */
  isAborted(): boolean
  /** A chunk of one choice. */
  chunk(delta: JsonObject, more?: JsonObject): void
  finish(reason?: string, index?: number): void
  done(): void
  document(document: Json): Bytes
  choices(): readonly Choice[]
  content(index?: number): Json
  /** The rulings, by guard. */
  rulings(): Readonly<Record<string, JsonObject>>
}

const JOB = { id: 'job_1', tenant: 'acme', keyId: 'key_1', model: 'm', kind: 'chat' } as Job

export function staged(
  guards: readonly GuardInput[],
  {
    request = { messages: [{ role: 'user', content: 'Hello' }] } as JsonObject,
    prefix = undefined as string | undefined,
    job = JOB,
    moderate = (async () => ({ flagged: false, categories: [] })) as Moderate,
  } = {},
): Staged {
  const settings = guardSettings.parse(guards)
  const records: Bytes[] = []
  const ends: ProviderEnd[] = []
  const facts: Happened[] = []
  const faults: unknown[] = []
  let aborted = false
  const { stand } = createAnswerGuards(() => settings, {
    moderate,
    emit: (fact) => void facts.push(fact),
    onFault: (thrown) => void faults.push(thrown),
  })
  const stage = stand(
    { job, attempt: 1, deployment: 'd', body: Buffer.from(JSON.stringify(request)), prefix },
    {
      events: (payloads) => void records.push(...payloads),
      document: (document) => void records.push(documentRecord(document)),
      end: (end) => void ends.push(end),
    },
    () => {
      aborted = true
      stage!.end({ kind: 'aborted' })
    },
  )
  const send = (chunk: JsonObject): void => stage!.events([toBytes(JSON.stringify(chunk))])
  const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'm' }
  const choices = (): readonly Choice[] => foldAnswer(records).choices
  return {
    stage,
    records,
    ends,
    facts,
    faults,
    isAborted: () => aborted,
    chunk: (delta, more = {}) => send({ ...head, choices: [{ index: 0, delta, finish_reason: null, ...more }] }),
    finish: (reason = 'stop', index = 0) => send({ ...head, choices: [{ index, delta: {}, finish_reason: reason }] }),
    done: () => stage!.end({ kind: 'done' }),
    document(document) {
      const bytes = toBytes(JSON.stringify(document))
      stage!.document(bytes, null)
      return bytes
    },
    choices,
    content: (index = 0) => choices().find((choice) => choice.index === index)?.message['content'] ?? null,
    rulings: () =>
      Object.fromEntries(
        facts.flatMap((fact) =>
          fact.type === 'guard-decided' ? [[fact.guard, JSON.parse(JSON.stringify(fact)) as JsonObject]] : [],
        ),
      ),
  }
}

export const textOf = (records: readonly Bytes[]): string => records.map(toText).join('\n')
