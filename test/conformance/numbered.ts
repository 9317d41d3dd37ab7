/**
 * A dialect as others have them: it numbers its own events, skips some records, makes several events of others, and
 * remembers a list that grows with the answer.
 */
import type { StreamForm } from '../../src/core/ports/dialect.ts'
import { type Bytes, formatCursor, isEnd, kindOf, parseEnd } from '../../src/core/record.ts'

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
