import { expect, it } from 'vitest'
import type { Usage } from '../../core/job.ts'
import { endRecord, toText, usageRecord } from '../../core/record.ts'
import { whole } from './whole.ts'

const CHUNK = '{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"x"}}]}'
const REPORTED = { prompt_tokens: 3, completion_tokens: 4, x_vendor: 1 }
const REPORT = usageRecord(`{"choices":[],"usage":${JSON.stringify(REPORTED)}}`)

function usageOf(records: readonly string[], usage?: Usage): unknown {
  const answer = whole()
  answer.take([...records, endRecord({ state: 'done', ...(usage && { usage }) })])
  return (JSON.parse(toText(answer.reply().body)) as { usage?: unknown }).usage
}

it("has the upstream's own usage where that is all that was spent", () => {
  expect(usageOf([CHUNK, REPORT], { promptTokens: 3, completionTokens: 4, estimated: false })).toEqual(REPORTED)
  // Logs of older versions end without a count
  expect(usageOf([CHUNK, REPORT])).toEqual(REPORTED)
})

it('has what the job is charged where the upstream reported less, or nothing', () => {
  const charged = { prompt_tokens: 6, completion_tokens: 9, total_tokens: 15, estimated: true }
  const usage = { promptTokens: 6, completionTokens: 9, estimated: true }
  expect(usageOf([CHUNK, REPORT], usage)).toEqual(charged)
  expect(usageOf([CHUNK], usage)).toEqual(charged)
})
