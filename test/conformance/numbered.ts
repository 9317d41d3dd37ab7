/**
 * A dialect as others have them: it numbers its own events, skips some records, makes several events of others, and
 * remembers a list that grows with the answer.
 */
import { LogFold } from '../../src/core/answer.ts'
import { bad, isText } from '../../src/core/fields.ts'
import type { Dialect, StreamForm } from '../../src/core/ports/dialect.ts'
import { type Bytes, formatCursor, isEnd, kindOf, parseEnd, toBytes } from '../../src/core/record.ts'
import { wholeAnswer } from '../../src/dialects/whole.ts'

export interface Items {
  readonly told: number
  readonly items: readonly Bytes[]
}

const form = (takesBack: boolean): StreamForm<Items> => ({
  name: 'numbered',
  takesBack,
  begin: () => ({ told: 0, items: [] }),
  render({ epoch, records }, state, known) {
    let { told, items } = state
    let events = ''
    let over = false
    const tell = (event: string, data: unknown): void => {
      told++
      if (told > known)
        events += `id: ${formatCursor(epoch, told)}\nevent: ${event}\ndata: ${JSON.stringify({ n: told, data })}\n\n`
    }
    for (const record of records) {
      if (over) break
      switch (kindOf(record)) {
        case 'chunk':
        case 'document':
          tell('item.added', record.length)
          items = [...items, record.slice(-24)]
          tell('item.done', items)
          break
        case 'reset':
          items = []
          tell('items.withdrawn', null)
          over = !takesBack
          break
        case 'end':
          tell('items', items)
          tell('completed', parseEnd(record).state)
          over = isEnd(record)
      }
    }
    return { events, state: { told, items }, over }
  },
  count: ({ told }) => told,
  beginsAnywhere: false,
  gap: () => 'event: gap\ndata: {}\n\n',
  live: null,
  error: (error) => `event: error\ndata: ${JSON.stringify(error.code)}\n\n`,
  failure: null,
})

export const numbered = form(true)
/** The same, whose answers end with a reset. */
export const numberedOnce = form(false)

/** Its requests are short, and its answers and errors its own. */
export const numberedDialect: Dialect<Items> = {
  name: 'numbered',
  requests: [
    {
      path: '/v1/numbered',
      kind: 'chat',
      what: 'numbered answers',
      query: [],
      read({ model, ask, live, quiet }) {
        if (!isText(ask)) throw bad('ask', '"ask" must be a text.')
        const value = { model, messages: [{ role: 'user', content: ask }], stream: live === true }
        return {
          value,
          body: Buffer.from(JSON.stringify(value)),
          stream: live === true,
          user: undefined,
          shownAs: quiet === true ? { quiet } : undefined,
        }
      },
    },
  ],
  stream: numbered,
  whole({ shownAs }) {
    const fold = new LogFold()
    return wholeAnswer((error) => JSON.stringify({ oops: error.code }), {
      passesDocuments: false,
      push: (record) => fold.push(record),
      body: () => {
        const [choice] = fold.answer().choices
        return toBytes(JSON.stringify({ said: shownAs?.['quiet'] === true ? null : choice.message['content'] }))
      },
    })
  },
  error: (error) => JSON.stringify({ oops: error.code }),
}
