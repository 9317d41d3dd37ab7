/** Delivery keeps the contract in every form, and each planted bug is caught by its case. */
import { describe, expect, it } from 'vitest'
import type { Delivery } from '../../src/core/ports/delivery.ts'
import type { StreamForm } from '../../src/core/ports/dialect.ts'
import type { TokenLog } from '../../src/core/ports/log.ts'
import type { Bytes } from '../../src/core/record.ts'
import { createDelivery } from '../../src/delivery/delivery.ts'
import { deliveryCases, type OpenDelivery } from './delivery.ts'
import { FORMS, type FormCase } from './forms.ts'
import { type Items, numbered } from './numbered.ts'

const open: OpenDelivery = (log, clock, { buffer, page }) =>
  createDelivery(log, clock, () => {}, { heartbeatMs: 1_000, maxReaderBufferBytes: buffer, pageBytes: page })

describe.each(FORMS)('$name', (one) => {
  it.each(deliveryCases)('$name', ({ run }) => run(open, one))
})

const [chat, , native, , numberedCase] = FORMS

/** Its list belongs to whoever renders: a slow reader corrupts a fast one's. */
const shared: StreamForm<Items> = {
  ...numbered,
  render(run, state, known) {
    const { events, over, state: next } = numbered.render(run, state, known)
    const items = state.items as Bytes[]
    items.splice(0, items.length, ...next.items)
    return { events, over, state: { told: next.told, items } }
  },
}
const withForm = <S>(one: FormCase, form: StreamForm<S>): FormCase => ({ ...one, form: form as StreamForm })
const overLog =
  (bend: (log: TokenLog) => Partial<TokenLog>): OpenDelivery =>
  (log, ...more) =>
    open(new Proxy(log, { get: (of, name) => Reflect.get({ ...bend(of) }, name) ?? Reflect.get(of, name) }), ...more)
const bent =
  (bend: (delivery: Delivery) => Partial<Delivery>): OpenDelivery =>
  (...given) => {
    const delivery = open(...given)
    return { ...delivery, ...bend(delivery) }
  }

it.each<[string, OpenDelivery, FormCase, string]>([
  ['a dialect whose state is shared by two readers', open, withForm(numberedCase, shared), 'slow, fast, late'],
  [
    'resumes one event early',
    bent(({ stream }) => ({
      stream: (request) =>
        stream({ ...request, cursor: request.cursor && { ...request.cursor, n: Math.max(0, request.cursor.n - 1) } }),
    })),
    native,
    'a resume after each event',
  ],
  [
    'takes the cursor for a record number',
    open,
    withForm(numberedCase, { ...numbered, count: undefined as never }),
    'a resume after each event',
  ],
  [
    'does not wait until the log is followed',
    overLog((log) => ({ follow: (...how) => ({ ...log.follow(...how), ready: Promise.resolve(null) }) })),
    chat,
    'what comes between following and reading',
  ],
  [
    'knows nothing of new epochs',
    overLog((log) => ({ follow: (job, listener) => log.follow(job, listener) })),
    native,
    'a log that is rewritten while it is read',
  ],
  [
    'believes every cursor of an older epoch',
    overLog(() => ({ commonWith: async () => 1_000 })),
    native,
    'a cursor of an older epoch',
  ],
  [
    'tells the end twice',
    bent(({ ended }) => ({
      ended: (job, fn) =>
        ended(job, () => {
          fn()
          fn()
        }),
    })),
    native,
    'the end is told once',
  ],
])('planted: %s', async (_name, opened, one, caughtBy) => {
  const found = deliveryCases.find(({ name }) => name.startsWith(caughtBy))!
  await expect(found.run(opened, one)).rejects.toThrow()
})
