/** OpenAI's older completions, which editors complete code by. */
import { LogFold } from '../../core/answer.ts'
import type { Dialect, WholeAnswer } from '../../core/ports/dialect.ts'
import { type End, toBytes } from '../../core/record.ts'
import { errorJson } from '../../core/wire.ts'
import { wholeAnswer } from '../whole.ts'
import { request } from './request.ts'
import { textIn, usageOf } from './shape.ts'
import { stream } from './stream.ts'

function whole(): WholeAnswer {
  const fold = new LogFold()
  return wholeAnswer(errorJson, {
    passesDocuments: false,
    push: (record) => fold.push(record),
    body({ usage: charged }: End) {
      const { head, choices, usage } = fold.answer()
      const told = usageOf(usage, charged)
      return toBytes(
        JSON.stringify({
          ...head,
          object: 'text_completion',
          choices: choices.map(({ index, message, rest, finishReason }) => ({
            ...rest,
            index,
            text: textIn(message),
            logprobs: rest['logprobs'] ?? null,
            finish_reason: finishReason,
          })),
          ...(told !== null && { usage: told }),
        }),
      )
    },
  })
}

export const completions: Dialect = {
  name: 'completions',
  requests: [request],
  stream: stream as Dialect['stream'],
  whole,
  error: errorJson,
}
