/** A provider that was not asked for a stream answers with a document: no reason for a client to get another answer. */
import { expect, test } from 'vitest'
import type { Dialect, Rendering } from '../../src/core/ports/dialect.ts'
import { attemptRecord, type Bytes, documentRecord, endRecord } from '../../src/core/record.ts'
import { linesDialect } from './lines.ts'
import { numberedDialect } from './numbered.ts'

const JOB: Rendering = {
  id: 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV',
  tenant: 'default',
  kind: 'chat',
  dialect: '',
  model: 'demo',
  acceptedAtMs: 0,
}
const attempt = attemptRecord({ n: 1, mode: 'first', deployment: 'd' })
const end = endRecord({ state: 'done' })
const CHUNK = '{"choices":[{"index":0,"delta":{"content":"Hello."},"finish_reason":"stop"}]}'
const DOCUMENT = '{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}]}'

for (const dialect of [linesDialect, numberedDialect] as readonly Dialect[])
  test(`${dialect.name}: the same answer, whether its provider streamed it or not`, () => {
    const answer = (...records: readonly Bytes[]): unknown => {
      const whole = dialect.whole({ ...JOB, dialect: dialect.name })
      whole.take([attempt, ...records, end])
      return whole.reply()
    }
    expect(answer(documentRecord(DOCUMENT))).toEqual(answer(CHUNK))
  })
