/** `chat.completion`: the whole log as one answer. */
import { type Answer, LogFold, toCompletion } from '../../core/answer.ts'
import type { WholeAnswer } from '../../core/ports/dialect.ts'
import { type End, toBytes } from '../../core/record.ts'
import { errorJson, wireUsage } from '../../core/wire.ts'
import { wholeAnswer } from '../whole.ts'

export function whole(): WholeAnswer {
  // Most answers are documents, and need none
  let fold: LogFold | null = null
  return wholeAnswer(errorJson, {
    passesDocuments: true,
    push(record) {
      fold ??= new LogFold()
      fold.push(record)
    },
    body: (end) => toBytes(JSON.stringify(completed((fold ?? new LogFold()).answer(), end))),
  })
}

/** The upstream's own `usage`, unless it covers less than the job is charged for: several attempts, or no report. */
function completed(answer: Answer, { usage }: End): object {
  const isWhole = answer.usage !== null && answer.usage['completion_tokens'] === usage?.completionTokens
  return { ...toCompletion(answer), ...(isWhole || usage === undefined ? {} : { usage: wireUsage(usage) }) }
}
