/** Every form keeps the contract, and each planted bug is caught by its case. */
import { describe, expect, it } from 'vitest'
import type { StreamForm } from '../../src/core/ports/dialect.ts'
import { type Bytes, isEnd } from '../../src/core/record.ts'
import { dialectCases } from './dialect.ts'
import { FORMS, type FormCase } from './forms.ts'
import { type Items, numbered } from './numbered.ts'

describe.each(FORMS)('$name', (form) => {
  it.each(dialectCases)('$name', ({ run }) => run(form))
})

const [chat, , , socket, , numberedCase] = FORMS
const bent = <S>(one: FormCase, form: StreamForm<S>): FormCase => ({ ...one, form: form as StreamForm })

/** One list for all readers, which grows: each of them sees what the others were shown. */
const shared = (): StreamForm<Items> => {
  const items: Bytes[] = []
  return {
    ...numbered,
    begin: () => ({ told: 0, items }),
    render(run, state, known) {
      items.push(...run.records.filter((record) => record.charCodeAt(0) !== 0x40).map((record) => record.slice(-24)))
      const { events, over, state: next } = numbered.render(run, { ...state, items: [...items] }, known)
      return { events, over, state: { ...next, items } }
    },
  }
}
/** The state is its own, and is changed instead of replaced. */
const grown: StreamForm<Items> = {
  ...numbered,
  begin: () => ({ told: 0, items: [] }),
  render(run, state, known) {
    const { events, over, state: next } = numbered.render(run, state, known)
    ;(state.items as Bytes[]).splice(0, state.items.length, ...next.items)
    return { events, over, state: { told: next.told, items: state.items } }
  },
}
/** What the client has is not rendered, and so is not known either. */
const forgetful: StreamForm<Items> = {
  ...numbered,
  render: (run, state, known) =>
    known > 1_000 ? { events: '', state, over: false } : numbered.render(run, state, known),
}
const inclusive: StreamForm = { ...chat.form, render: (run, state, known) => chat.form.render(run, state, known - 1) }
const perRun: StreamForm<Items> = {
  ...numbered,
  render: (run, { items }, known) => numbered.render(run, { told: run.firstSeq * 2, items }, known),
}
const everEnding: StreamForm = {
  ...socket.form,
  render: (run, state, known) => ({ ...socket.form.render(run, state, known), over: false }),
}
const eager: StreamForm = {
  ...socket.form,
  render: (run, state, known) => ({
    ...socket.form.render(run, state, known),
    over: isEnd(run.records.at(-1)!) || run.firstSeq > 2,
  }),
}

it.each<[string, FormCase, string]>([
  ['a state that readers share', bent(numberedCase, shared()), 'readers share nothing'],
  ['a state that is changed', bent(numberedCase, grown), 'a state is a value'],
  ['what the client has changes nothing', bent(numberedCase, forgetful), 'what the client has changes no state'],
  ['the last known event again', bent(chat, inclusive), 'a resume after any event is exactly the rest'],
  ['numbers by run', bent(numberedCase, perRun), 'a log is the same events, however it comes in runs'],
  ['never over', bent(socket, everEnding), 'is over once'],
  ['over too early', bent(socket, eager), 'a log is the same events'],
  ['begins anywhere, and may not', bent(chat, { ...chat.form, takesBack: true }), 'takes text back only as it says'],
])('planted: %s', (_name, form, caughtBy) => {
  const one = dialectCases.find(({ name }) => name.startsWith(caughtBy))!
  expect(() => one.run(form)).toThrow()
})
