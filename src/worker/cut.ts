/**
 * The end of an answer that was cut: what an upstream sends that has reached its `max_tokens`, and which limit it was.
 * Pure.
 */
import type { Answer } from '../core/answer.ts'
import { MAX_CHOICES } from '../core/answer-limits.ts'
import type { Job, Usage } from '../core/job.ts'
import { memberText } from '../core/json.ts'
import { type Shortfall, wireLimit } from '../core/limits.ts'
import { type Bytes, toBytes, usageRecord } from '../core/record.ts'
import { wireUsage } from '../core/wire.ts'

/**
 * Its records: a last chunk for each choice that has no finish reason, and the usage, which its provider is no longer
 * asked for. Empty: the answer is complete.
 */
export function finishing(
  { head, choices }: Answer,
  job: Pick<Job, 'id' | 'model' | 'acceptedAtMs' | 'share'>,
  body: Uint8Array,
  cause: Shortfall,
  usage: Usage,
): Bytes[] {
  const open = new Set(Array.from({ length: choicesAsked(body) }, (_, index) => index))
  for (const { index, finishReason } of choices)
    if (finishReason === null) open.add(index)
    else open.delete(index)
  const identity = {
    id: head['id'] || `chatcmpl-${job.id}`,
    object: 'chat.completion.chunk',
    created: head['created'] || Math.floor(job.acceptedAtMs / 1_000),
    model: head['model'] || job.model,
  }
  if (open.size === 0) return []
  // Others may read a shared answer, too, and are not to know whose limit it was (T1)
  const cut = wireLimit(job.share === undefined ? cause : { ...cause, shared: true })
  const chunk = (members: object): Bytes => toBytes(JSON.stringify({ ...identity, ...members }))
  const last = [...open]
    .sort((a, b) => a - b)
    .map((index) =>
      chunk({ choices: [{ index, delta: {}, logprobs: null, finish_reason: 'length', sluice: { cut } }] }),
    )
  return [...last, usageRecord(chunk({ choices: [], usage: wireUsage(usage) }))]
}

function choicesAsked(body: Uint8Array): number {
  const n = Number(memberText(body, 'n') ?? 1)
  return Number.isSafeInteger(n) && n > 0 ? Math.min(n, MAX_CHOICES) : 1
}
