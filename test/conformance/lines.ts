/** A dialect without SSE and JSON, for shells: a line for each token, then `done` or `error: …`. */
import { foldAnswer } from '../../src/core/answer.ts'
import type { WireError } from '../../src/core/errors.ts'
import { bad, isText } from '../../src/core/fields.ts'
import type { Dialect, StreamForm } from '../../src/core/ports/dialect.ts'
import { type Bytes, isEnd, kindOf, parseEnd, toBytes } from '../../src/core/record.ts'
import { failure, wholeAnswer } from '../../src/dialects/whole.ts'

const TYPE = 'text/plain; charset=utf-8'
const line = (text: string): Bytes => toBytes(`${text.replace(/[\r\n]/g, ' ')}\n`)
const errors = { error: ({ message }: Pick<WireError, 'message'>) => line(`error: ${message}`), errorType: TYPE }

const textOf = (records: readonly Bytes[]): string => {
  const content = foldAnswer(records).choices[0]?.message['content']
  return typeof content === 'string' ? content : ''
}

function lineOf(record: Bytes): Bytes {
  switch (kindOf(record)) {
    case 'chunk':
    case 'document': {
      const text = textOf([record])
      return text === '' ? '' : line(text)
    }
    case 'reset':
      return line('error: The answer has begun anew.')
    case 'end': {
      const { error } = parseEnd(record)
      return error === undefined ? line('done') : errors.error(error)
    }
    default:
      return ''
  }
}

/** Clients count lines; what they have is told by that count. */
const stream: StreamForm<number> = {
  name: 'lines',
  wire: { type: TYPE, heartbeat: '', comment: '', endsWith: '\n' },
  takesBack: false,
  begin: () => 0,
  render({ records }, told, known) {
    let events = ''
    let n = told
    for (const record of records) {
      const text = lineOf(record)
      if (text !== '' && ++n > known) events += text
      if (isEnd(record) || kindOf(record) === 'reset') return { events, state: n, over: true }
    }
    return { events, state: n, over: false }
  },
  count: (told) => told,
  beginsAnywhere: false,
  gap: null,
  live: null,
  error: errors.error,
  failure: (end) => failure(end, errors),
}

export const linesDialect: Dialect<number> = {
  name: 'lines',
  requests: [
    {
      path: '/v1/lines',
      kind: 'chat',
      what: 'lines',
      query: [],
      read({ model, prompt, stream }) {
        if (!isText(prompt)) throw bad('prompt', '"prompt" must be a text.')
        const value = { model, messages: [{ role: 'user', content: prompt }], stream: stream === true }
        return {
          value,
          body: Buffer.from(JSON.stringify(value)),
          stream: stream === true,
          user: undefined,
          shownAs: undefined,
        }
      },
    },
  ],
  stream,
  whole() {
    const records: Bytes[] = []
    return wholeAnswer(
      errors,
      { passesDocuments: false, push: (record) => void records.push(record), body: () => toBytes(textOf(records)) },
      TYPE,
    )
  },
  ...errors,
}
