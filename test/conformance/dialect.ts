/** The contract of a StreamForm (core/ports/dialect.ts), case by case. */
import { isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import { SluiceError } from '../../src/core/errors.ts'
import type { Rendered, Run } from '../../src/core/ports/dialect.ts'
import type { Bytes } from '../../src/core/record.ts'
import { random } from '../random.ts'
import { type FormCase, LOGS } from './forms.ts'
import type { Told } from './read.ts'

export interface DialectCase {
  readonly name: string
  readonly run: (one: FormCase) => void
}

const runOf = ({ job }: FormCase, records: readonly Bytes[], firstSeq = 1): Run => ({
  job: job.id,
  epoch: 3,
  firstSeq,
  records,
})

/** From `state` on, in runs of these lengths, the last of which is repeated; each state is handed to `look`. */
function render(
  one: FormCase,
  records: readonly Bytes[],
  lengths: readonly number[],
  known = 0,
  look: (state: unknown) => void = () => {},
): { readonly events: Bytes; readonly state: unknown; readonly over: boolean; readonly seq: number } {
  const { form, job } = one
  let state = form.begin(job)
  let events = ''
  let over = false
  let at = 0
  for (let i = 0; at < records.length && !over; i++) {
    look(state)
    const length = lengths[Math.min(i, lengths.length - 1)]
    const run = records.slice(at, at + length)
    const rendered: Rendered<unknown> = form.render(runOf(one, run, at + 1), state, known)
    events += rendered.events
    state = rendered.state
    over = rendered.over
    at += run.length
  }
  look(state)
  return { events, state, over, seq: at }
}

export const whole = (one: FormCase, records: readonly Bytes[]): readonly Told[] =>
  one.read(render(one, records, [records.length]).events)

const eachLog = (run: (records: readonly Bytes[], name: string) => void): void => {
  for (const [name, records] of LOGS) run(records, name)
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) freeze(member)
  }
  return value
}

export const dialectCases: readonly DialectCase[] = [
  {
    name: 'a log is the same events, however it comes in runs',
    run(one) {
      const next = random(7)
      eachLog((records, name) => {
        const all = whole(one, records)
        for (const lengths of [[1], [2], [3, 1], ...Array.from({ length: 10 }, () => [1 + next(4), 1 + next(9)])])
          expect(one.read(render(one, records, lengths).events), name).toEqual(all)
      })
    },
  },
  {
    name: 'a resume after any event is exactly the rest, in runs of any length',
    run(one) {
      eachLog((records, name) => {
        const all = whole(one, records)
        for (const known of [0, ...all.map(({ n }) => n!)])
          for (const lengths of [[records.length], [1], [4, 2]])
            expect(one.read(render(one, records, lengths, known).events), `${name}, after ${known}`).toEqual(
              all.filter(({ n }) => n! > known),
            )
      })
    },
  },
  {
    name: 'what comes before the first record is told once, whether or not it was asked for',
    run(one) {
      if (one.form.opens !== true) return
      eachLog((records, name) => {
        const opening = one.form.render(runOf(one, []), one.form.begin(one.job), 0)
        expect(opening.over).toBe(false)
        const rest = one.form.render(runOf(one, records), opening.state, 0)
        expect([...one.read(opening.events), ...one.read(rest.events)], name).toEqual(whole(one, records))
      })
    },
  },
  {
    name: 'what the client has changes no state, and no end',
    run(one) {
      eachLog((records, name) => {
        const { events: _, ...fresh } = render(one, records, [2])
        const { events, ...resumed } = render(one, records, [2], Number.POSITIVE_INFINITY)
        expect(events).toBe('')
        expect(resumed, name).toEqual(fresh)
      })
    },
  },
  {
    name: 'events have numbers that only go up, and are counted',
    run(one) {
      eachLog((records, name) => {
        const all = whole(one, records)
        for (const [i, { n }] of all.entries()) expect(n, name).toBeGreaterThan(i === 0 ? 0 : all[i - 1].n!)
        const { count } = one.form
        if (count === undefined) return
        const { state } = render(one, records, [3])
        expect(count.call(one.form, one.form.begin(one.job))).toBe(0)
        expect(count.call(one.form, state), name).toBe(all.at(-1)?.n ?? 0)
        expect(all.map(({ n }) => n)).toEqual(all.map((_, i) => i + 1))
      })
    },
  },
  {
    name: 'a state is a value: whoever renders from it, it stays what it was, and gives the same again',
    run(one) {
      eachLog((records, name) => {
        const states: Array<readonly [unknown, unknown]> = []
        const { events } = render(one, records, [2], 0, (state) => {
          states.push([state, structuredClone(state)])
        })
        for (const [i, [state, copy]] of states.entries()) {
          expect(isDeepStrictEqual(state, copy), `${name}: the state before run ${i} was changed`).toBe(true)
          const run = runOf(one, records.slice(2 * i, 2 * i + 2), 2 * i + 1)
          if (run.records.length === 0 || i === states.length - 1) continue
          const [first, again] = [one.form.render(run, state, 0), one.form.render(run, state, 0)]
          expect(again, name).toEqual(first)
          expect(isDeepStrictEqual(state, copy), `${name}: run ${i} changed its state`).toBe(true)
        }
        expect(render(one, records, [2], 0, freeze).events, name).toBe(events)
      })
    },
  },
  {
    name: 'readers share nothing: two of them, side by side at their own pace, and two jobs',
    run(one) {
      eachLog((records, name) => {
        const all = whole(one, records)
        const readers = [1, 2, 3].map((step) => ({
          step,
          at: 0,
          state: one.form.begin(one.job),
          events: '',
          over: false,
        }))
        while (readers.some(({ at, over }) => at < records.length && !over))
          for (const reader of readers) {
            const run = records.slice(reader.at, reader.at + reader.step)
            if (run.length === 0 || reader.over) continue
            const rendered = one.form.render(runOf(one, run, reader.at + 1), reader.state, 0)
            reader.at += run.length
            reader.state = rendered.state
            reader.events += rendered.events
            reader.over = rendered.over
          }
        for (const { events } of readers) expect(one.read(events), name).toEqual(all)
      })
    },
  },
  {
    name: 'begins where it is told, where it can begin anywhere',
    run(one) {
      const { form } = one
      expect(form.beginsAnywhere && form.count !== undefined).toBe(false)
      if (!form.beginsAnywhere) return
      eachLog((records, name) => {
        const all = whole(one, records)
        for (let seq = 0; seq < records.length; seq++) {
          const { events } = form.render(runOf(one, records.slice(seq), seq + 1), form.begin(one.job), 0)
          expect(one.read(events), name).toEqual(all.filter(({ n }) => n! > seq))
        }
      })
    },
  },
  {
    name: 'is over once, at the end of the log at the latest, and not without an event for its clients to know it by',
    run(one) {
      eachLog((records, name) => {
        const { over, seq } = render(one, records, [1])
        expect(over, name).toBe(true)
        expect(whole(one, records).at(-1)?.n, name).toBe(
          one.form.count === undefined ? seq : whole(one, records).length,
        )
        const early = render(one, records.slice(0, seq - 1), [1])
        expect(early.over, `${name}: before its last event`).toBe(false)
      })
    },
  },
  {
    name: 'takes text back only as it says: what follows a reset is for those who know what it is',
    run(one) {
      const [, records] = LOGS.find(([name]) => name === 'two resets')!
      const { seq } = render(one, records, [1])
      // One that never restarts for its own readers may tell of a restart that another way of asking has allowed
      if (one.form.takesBack || one.form.count === undefined) expect(seq === records.length).toBe(one.form.takesBack)
    },
  },
  {
    name: 'what it tells beside the log is whole events, without a number',
    run({ form, job, read }) {
      const beside = [form.gap?.(job.id), form.live?.(job.id, '3-7'), form.error?.(new SluiceError('job_gone'))].filter(
        (events) => events !== undefined,
      )
      for (const events of beside) expect(read(events).map(({ n }) => n)).toEqual([null])
    },
  },
]
