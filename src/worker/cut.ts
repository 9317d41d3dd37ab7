/** The end of an answer that was cut: what an upstream sends that has reached its `max_tokens`. Pure. */
import type { Answer } from '../core/answer.ts'
import { MAX_CHOICES } from '../core/answer-limits.ts'
import type { Job } from '../core/job.ts'
import { memberText } from '../core/json.ts'
import { type Bytes, toBytes } from '../core/record.ts'

/** A last chunk for each choice that has no finish reason; empty: the answer is complete. */
export function finishing(
  { head, choices }: Answer,
  job: Pick<Job, 'id' | 'model' | 'acceptedAtMs'>,
  body: Uint8Array,
) {
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
  return [...open]
    .sort((a, b) => a - b)
    .map((index): Bytes => {
      const choice = { index, delta: {}, logprobs: null, finish_reason: 'length' }
      return toBytes(JSON.stringify({ ...identity, choices: [choice] }))
    })
}

function choicesAsked(body: Uint8Array): number {
  const n = Number(memberText(body, 'n') ?? 1)
  return Number.isSafeInteger(n) && n > 0 ? Math.min(n, MAX_CHOICES) : 1
}
