/** The contract of Delivery (core/ports/delivery.ts), case by case, over a log that takes its time. */
import { expect } from 'vitest'
import type { Clock } from '../../src/core/clock.ts'
import { SluiceError } from '../../src/core/errors.ts'
import type { Job } from '../../src/core/job.ts'
import type { Delivery, FrameSink, SocketReader } from '../../src/core/ports/delivery.ts'
import type { Reply, WholeAnswer } from '../../src/core/ports/dialect.ts'
import type { TokenLog } from '../../src/core/ports/log.ts'
import { type Bytes, type Cursor, endRecord, formatCursor, parseCursor } from '../../src/core/record.ts'
import { GOLDEN_LOGS } from '../golden/logs.ts'
import { random } from '../random.ts'
import { whole } from './dialect.ts'
import { FORMS, type FormCase, LOGS } from './forms.ts'
import type { Told } from './read.ts'
import { type ScriptedLog, scriptedLog } from './scripted-log.ts'

/** Makes a delivery whose readers buffer this many bytes at most, and read pages of that many. */
export type OpenDelivery = (log: TokenLog, clock: Clock, limits: { buffer: number; page: number }) => Delivery

export interface DeliveryCase {
  readonly name: string
  readonly run: (open: OpenDelivery, one: FormCase) => Promise<void>
}

const BUFFER = 2_000
const PAGE = 1_000

/** Turns of the event loop, in which whatever can happen does. */
async function settle(turns = 300): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((next) => setImmediate(next))
}

/** Time stands still; only turns pass. */
const clock: Clock = {
  wallMs: () => 0,
  monoMs: () => 0,
  after: () => () => {},
  every: () => () => {},
  soon: (fn) => void setImmediate(fn),
}

const jobOf = ({ job }: FormCase, epoch = 1): Job => ({ ...job, epoch, state: 'leased' }) as Job

/** A client that reads at its own pace, is cut, and comes back with the cursor of the last event that it has. */
abstract class Client {
  protected readonly one: FormCase
  protected readonly delivery: Delivery
  protected readonly job: Job
  /** Of this connection, as it came. */
  bytes: Bytes = ''
  /** Whole, over all connections. A gap makes it void. */
  told: Told[] = []
  /** Of the last connection: why it ended. */
  outcome: 'open' | 'complete' | 'gone' | SluiceError = 'open'
  /** Bytes that its peer has not taken. */
  buffered = 0
  most = 0
  isSlow = false
  cursor: string | null = null

  constructor(one: FormCase, delivery: Delivery, epoch: number) {
    this.one = one
    this.delivery = delivery
    this.job = jobOf(one, epoch)
  }

  abstract open(cursor: string | null): void
  abstract leave(): void
  /** Its peer took all that was written. */
  abstract take(): void

  protected received(events: Bytes): void {
    this.bytes += events
    this.buffered += events.length
    this.most = Math.max(this.most, this.buffered)
  }

  connect(cursor = this.cursor): this {
    this.bytes = ''
    this.buffered = 0
    this.outcome = 'open'
    this.open(cursor)
    return this
  }

  /** Reads what has come on this connection. `epoch`: of the cursors that it had. */
  read(): void {
    for (const event of this.one.read(this.bytes)) {
      if (event.n === null && /gap/.test(event.text)) this.told = []
      else if (event.n !== null) this.told.push(event)
    }
    const ids = [...this.bytes.matchAll(/(?:^id: |"cursor":")(\d+-\d+)/gm)]
    this.cursor = ids.at(-1)?.[1] ?? this.cursor
    this.bytes = ''
  }

  cut(): void {
    this.leave()
    this.read()
  }

  protected get cursorOf(): (text: string | null) => Cursor | null {
    return (text) => (text === null ? null : parseCursor(text))
  }
}

/** Over an HTTP response of its own. */
class Streaming extends Client {
  answer: Reply | null = null
  ready = Promise.resolve()
  #onWritten = (): void => {}
  #onClose = (): void => {}

  open(cursor: string | null): void {
    const client = this
    let started = false
    this.answer = null
    const { form } = this.one
    this.delivery.stream({
      job: this.job,
      form,
      cursor: this.cursorOf(cursor),
      submits: false,
      headersAfterMs: form.failure === null ? null : 1_000,
      ready: this.ready,
      sink: {
        get started() {
          return started
        },
        get buffered() {
          return client.buffered
        },
        open(onWritten, onClose) {
          client.#onWritten = onWritten
          client.#onClose = onClose
        },
        start() {
          started = true
        },
        write(events) {
          started = true
          client.received(events)
          if (!client.isSlow) setImmediate(() => client.take())
        },
        end(events) {
          started = true
          client.received(events)
        },
        cut() {},
        reply(reply) {
          client.answer = reply
        },
        fail(error) {
          client.outcome = error
        },
      },
      onGone: () => {
        if (client.outcome === 'open') client.outcome = 'gone'
      },
      onDone: () => {
        client.outcome = 'complete'
      },
    })
  }

  take(): void {
    this.buffered = 0
    this.#onWritten()
  }

  leave(): void {
    this.#onClose()
  }
}

/** Over a connection that readers share. */
class Sharing extends Client {
  #reader: SocketReader | null = null
  #isParked = false

  open(cursor: string | null): void {
    const client = this
    const sink: FrameSink = {
      get full() {
        return client.buffered >= BUFFER
      },
      claim(most) {
        const claimed = Math.min(most, BUFFER - client.buffered)
        client.#isParked = claimed <= 0
        return Math.max(0, claimed)
      },
      release() {},
      write(frames) {
        client.received(frames)
        if (!client.isSlow) setImmediate(() => client.take())
      },
    }
    this.#reader = this.delivery.follow({
      job: this.job,
      form: this.one.form,
      cursor: this.cursorOf(cursor),
      sink,
      window: Number.POSITIVE_INFINITY,
      tellsLive: false,
      onFail: (error) => {
        this.outcome = error
      },
      onOver: (complete) => {
        this.outcome = complete ? 'complete' : 'gone'
      },
    })
  }

  credit(bytes: number): void {
    this.#reader?.credit(bytes)
  }

  take(): void {
    this.buffered = 0
    if (!this.#isParked) return
    this.#isParked = false
    this.#reader?.resume()
  }

  leave(): void {
    this.#reader?.leave()
  }
}

const CLIENTS = [Streaming, Sharing] as const
const setUp = (open: OpenDelivery, given: Parameters<typeof scriptedLog>[0] = {}) => {
  const log = scriptedLog(given)
  return { log, delivery: open(log, clock, { buffer: BUFFER, page: PAGE }) }
}
const write = (log: ScriptedLog, records: readonly Bytes[]): void => {
  log.write(records)
  log.tell()
}
/** Its records, as they are. */
function folded(): WholeAnswer {
  const all: Bytes[] = []
  return {
    take: (records) => void all.push(...records),
    reply: () => ({ status: 200, headers: {}, body: all.join('\n') }),
  }
}
const [LONG] = LOGS.filter(([name]) => name === 'a long answer').map(([, records]) => records)
const codeOf = ({ outcome }: Client): string => (typeof outcome === 'string' ? outcome : outcome.code)

const LOST = new SluiceError('job_lost')

export const deliveryCases: readonly DeliveryCase[] = [
  {
    name: 'slow, fast, late, cut and resumed readers each end with exactly the log',
    async run(open, one) {
      for (let seed = 1; seed <= 60; seed++) {
        const next = random(seed)
        const [, records] = LOGS[next(LOGS.length)]
        const { log, delivery } = setUp(open, { pageRecords: 1 + next(4) })
        const clients: Client[] = []
        const join = (): void => {
          const Kind = CLIENTS[next(2)]
          const client = new Kind(one, delivery, 1)
          client.isSlow = next(3) === 0
          clients.push(client.connect())
        }
        join()
        for (let at = 0; at < records.length; ) {
          const length = 1 + next(4)
          log.write(records.slice(at, at + length))
          at += length
          // Readable before its listeners are called, sometimes long before
          if (next(3) > 0) log.tell()
          if (next(4) === 0 && clients.length < 5) join()
          const client = clients[next(clients.length)]
          switch (next(5)) {
            case 0:
              if (client.outcome === 'open') {
                client.cut()
                client.connect()
              }
              break
            case 1:
              client.isSlow = !client.isSlow
              break
            case 2:
              client.take()
              break
            case 3:
              await settle(next(6))
          }
        }
        log.tell()
        const all = whole(one, records)
        for (const client of clients) {
          client.isSlow = false
          client.take()
        }
        await settle()
        for (const [i, client] of clients.entries()) {
          client.read()
          expect(client.outcome, `seed ${seed}, client ${i}`).toBe('complete')
          if (client instanceof Streaming && client.answer !== null && client.answer.status !== 204) continue
          expect(client.told, `seed ${seed}, client ${i}`).toEqual(all)
        }
        expect(log.followers, `seed ${seed}`).toBe(0)
      }
    },
  },
  {
    name: 'a resume after each event of a log that has ended, and of one that goes on',
    async run(open, one) {
      for (const [name, records] of LOGS.slice(0, 8)) {
        const all = whole(one, records)
        for (const Kind of CLIENTS)
          for (const ended of [true, false]) {
            const { log, delivery } = setUp(open)
            write(log, ended ? records : records.slice(0, -1))
            const known = whole(one, ended ? records : records.slice(0, -1))
            const clients = known.map(({ n }) => new Kind(one, delivery, 1).connect(formatCursor(1, n!)))
            await settle(20)
            if (!ended) write(log, records.slice(-1))
            await settle(40)
            for (const [i, client] of clients.entries()) {
              client.read()
              const rest = all.filter(({ n }) => n! > known[i].n!)
              expect(client.told, `${name}, after ${known[i].n}`).toEqual(rest)
              expect(codeOf(client), `${name}, after ${known[i].n}`).toBe('complete')
              if (rest.length === 0 && client instanceof Streaming) expect(client.answer?.status).toBe(204)
            }
          }
      }
    },
  },
  {
    name: 'a cursor ahead of the log is refused, and so is a log that is gone',
    async run(open, one) {
      const { records } = GOLDEN_LOGS[1]
      const all = whole(one, records)
      for (const Kind of CLIENTS)
        for (const ended of [true, false]) {
          const { log, delivery } = setUp(open)
          write(log, ended ? records : records.slice(0, -1))
          const last = ended ? all.at(-1)!.n! : (whole(one, records.slice(0, -1)).at(-1)?.n ?? 0)
          // Numbered by record, a record may have no event: its number is not ahead
          const head = one.form.count === undefined ? records.length - (ended ? 0 : 1) : last
          const clients = [head + 1, 999_999].flatMap((n) => [
            new Kind(one, delivery, 1).connect(String(n)),
            new Kind(one, delivery, 1).connect(formatCursor(1, n)),
          ])
          await settle()
          expect(clients.map(codeOf)).toEqual(clients.map(() => 'cursor_ahead'))
          log.erase()
          const late = [null, formatCursor(1, 1)].map((cursor) => new Kind(one, delivery, 1).connect(cursor))
          await settle()
          // A stream that begins at once can only be cut
          const isCut = Kind === Streaming && one.form.failure === null
          expect(late.map(codeOf)).toEqual([isCut ? 'gone' : 'job_gone', 'job_gone'])
        }
    },
  },
  {
    name: 'a cursor of an older epoch holds as far as the log is the one that it saw; after that all is told anew',
    async run(open, one) {
      const records = LONG.slice(0, 12)
      const kept = 5
      const after = [...records.slice(0, kept), ...LONG.slice(20, 24), LONG.at(-1)!]
      const all = whole(one, after)
      const reached = whole(one, records.slice(0, kept)).at(-1)!.n!
      for (const Kind of CLIENTS)
        for (const { n } of whole(one, records)) {
          const { log, delivery } = setUp(open)
          write(log, records)
          log.rewrite(kept, after.slice(kept))
          const client = new Kind(one, delivery, 2).connect(formatCursor(1, n!))
          await settle()
          // What it had is void, unless it is told otherwise
          const had = whole(one, records).filter((event) => event.n! <= n!)
          client.told = [...had]
          client.read()
          if (n! > reached && one.form.gap === null) expect(codeOf(client)).toBe('cursor_stale')
          else expect(client.told, `after ${n}`).toEqual(all)
        }
    },
  },
  {
    name: 'a log that goes on in a new epoch: its records are told in that, and resumed in it',
    async run(open, one) {
      for (const Kind of CLIENTS) {
        const { log, delivery } = setUp(open)
        const [stays, client] = [0, 1].map(() => new Kind(one, delivery, 1).connect())
        await settle()
        write(log, LONG.slice(0, 4))
        log.renew()
        write(log, LONG.slice(4, 8))
        await settle()
        client.cut()
        expect(client.cursor).toBe(formatCursor(2, whole(one, LONG.slice(0, 8)).at(-1)!.n!))
        client.connect()
        write(log, [...LONG.slice(8, 10), LONG.at(-1)!])
        await settle()
        for (const each of [stays, client]) {
          expect(each.bytes).not.toMatch(/gap|cursor_stale/)
          each.read()
          expect(each.told).toEqual(whole(one, [...LONG.slice(0, 10), LONG.at(-1)!]))
        }
      }
    },
  },
  {
    name: 'a cursor of a record that was just lost is never taken for one of what replaces it',
    async run(open, one) {
      const after = [...LONG.slice(0, 2), ...LONG.slice(20, 28)]
      for (const Kind of CLIENTS)
        for (const length of [4, after.length]) {
          const { log, delivery } = setUp(open)
          new Kind(one, delivery, 1).connect()
          await settle()
          write(log, LONG.slice(0, 8))
          log.rewrite(2, after.slice(2, length), false)
          const n = whole(one, LONG.slice(0, 7)).at(-1)!.n!
          const late = new Kind(one, delivery, 1).connect(formatCursor(1, n))
          await settle()
          if (one.form.gap === null) expect(codeOf(late)).toBe('cursor_stale')
          else {
            late.read()
            expect(late.told).toEqual(whole(one, after.slice(0, length)))
          }
        }
    },
  },
  {
    name: 'a log that is rewritten while it is read: readers begin anew, or are told that they can not',
    async run(open, one) {
      for (let seed = 1; seed <= 60; seed++) {
        const next = random(seed)
        const records = LONG.slice(0, 6 + next(10))
        const kept = next(6)
        const after = [...records.slice(0, kept), ...LONG.slice(20, 22 + next(4))]
        const { log, delivery } = setUp(open)
        write(log, records.slice(0, 4))
        const clients = [0, 1, 2, 3].map((i) => {
          const client = new CLIENTS[i % 2](one, delivery, 1)
          client.isSlow = i > 1
          // One looks for its place meanwhile
          return client.connect(i === 3 && next(2) === 0 ? formatCursor(1, 1) : null)
        })
        await settle(next(8))
        write(log, records.slice(4))
        await settle(next(4))
        const shown = clients.map((client) => one.read(client.bytes).length > 0)
        log.rewrite(kept, after.slice(kept))
        await settle(next(5))
        write(log, [LONG.at(-1)!])
        const all = whole(one, [...after, LONG.at(-1)!])
        for (const client of clients) {
          client.isSlow = false
          client.take()
        }
        await settle()
        for (const [i, client] of clients.entries()) {
          const at = `seed ${seed}, client ${i}`
          client.read()
          if (one.form.gap === null && shown[i]) expect(client.told, at).not.toEqual(all)
          else if (one.form.gap !== null) {
            expect(client.outcome, at).toBe('complete')
            expect(
              client.told.filter(({ n }) => n! > (i === 3 ? 1 : 0)),
              at,
            ).toEqual(all.filter(({ n }) => n! > (i === 3 ? 1 : 0)))
          }
        }
      }
    },
  },
  {
    name: 'a log that the store has lost: its readers are told so, whether they were shown anything or not',
    async run(open, one) {
      for (const Kind of CLIENTS)
        for (const shown of [0, 4])
          for (const cursor of [null, formatCursor(1, 0)]) {
            const { log, delivery } = setUp(open)
            const client = new Kind(one, delivery, 1).connect(cursor)
            await settle()
            write(log, LONG.slice(0, shown))
            await settle()
            log.vanish()
            await settle()
            // A stream that has begun ends with that error, or is cut where its dialect has none
            const isTold = client.bytes.includes('"job_lost"') || client.bytes.includes(LOST.message)
            const inStream = one.form.error === null || isTold
            expect(codeOf(client)).toBe(Kind === Streaming && inStream ? 'gone' : 'job_lost')
            expect(log.followers).toBe(0)
          }
    },
  },
  {
    name: 'a log that was lost, and is there again, is read from its start',
    async run(open, one) {
      for (const Kind of CLIENTS)
        for (const shown of [0, 4]) {
          const { log, delivery } = setUp(open)
          const client = new Kind(one, delivery, 1).connect()
          write(log, LONG.slice(0, shown))
          await settle()
          const hasShown = one.read(client.bytes).length > 0
          log.vanish()
          log.returns(LONG.slice(2, 6))
          await settle()
          write(log, LONG.slice(-1))
          await settle()
          client.read()
          if (one.form.gap === null && hasShown) expect(codeOf(client)).not.toBe('complete')
          else expect(client.told).toEqual(whole(one, [...LONG.slice(2, 6), ...LONG.slice(-1)]))
        }
    },
  },
  {
    name: 'a whole answer is of one log: rewritten meanwhile it is the new one, lost it is refused',
    async run(open, one) {
      const { dialect } = one.job
      const folding = { name: dialect, whole: () => folded() }
      for (const kept of [0, 2]) {
        const { log, delivery } = setUp(open)
        const asked = delivery.result(jobOf(one), folding)
        write(log, LONG.slice(0, 4))
        await settle()
        const after = [...LONG.slice(0, kept), ...LONG.slice(20, 24 - kept)]
        log.rewrite(kept, after.slice(kept))
        await settle()
        write(log, LONG.slice(-1))
        expect((await asked).body).toBe([...after, ...LONG.slice(-1)].join('\n'))
      }
      const { log, delivery } = setUp(open)
      const asked = delivery.result(jobOf(one), folding)
      let told = 0
      delivery.ended(jobOf(one), () => told++)
      write(log, LONG.slice(0, 4))
      await settle()
      log.vanish()
      await expect(asked).rejects.toMatchObject({ code: 'job_lost' })
      await settle()
      expect([told, log.followers]).toEqual([1, 0])
    },
  },
  {
    name: 'nothing is told before it may be, whatever else was written and read on the connection',
    async run(open, one) {
      for (const cursor of [null, formatCursor(1, 1)]) {
        const { log, delivery } = setUp(open)
        write(log, LONG)
        const client = new Streaming(one, delivery, 1)
        let allow = (): void => {}
        client.ready = new Promise((done) => {
          allow = done
        })
        client.connect(cursor)
        for (let i = 0; i < 5; i++) {
          // As after a heartbeat
          client.take()
          await settle(4)
        }
        expect(client.bytes).toBe('')
        allow()
        await settle()
        client.read()
        expect(client.told).toEqual(whole(one, LONG).filter(({ n }) => cursor === null || n! > 1))
      }
    },
  },
  {
    name: 'credit that comes with the attach begins nothing before the place is found',
    async run(open, one) {
      const { log, delivery } = setUp(open)
      write(log, LONG)
      const { n } = whole(one, LONG)[5]
      const client = new Sharing(one, delivery, 1).connect(formatCursor(1, n!))
      client.credit(1_000)
      await settle()
      client.read()
      expect(client.told).toEqual(whole(one, LONG).slice(6))
    },
  },
  {
    name: 'what comes between following and reading is missed by nobody, however long it takes to be followed',
    async run(open, one) {
      for (const Kind of CLIENTS)
        for (const [cursor, told] of [
          [null, 8],
          [formatCursor(1, 1), 8],
          [null, LONG.length],
        ] as const) {
          const { log, delivery } = setUp(open, { connected: false })
          write(log, LONG.slice(0, 4))
          const client = new Kind(one, delivery, 1).connect(cursor)
          await settle(3)
          // Told to nobody, as nobody can be told yet; perhaps nothing more will be
          write(log, LONG.slice(4, told))
          await settle(20)
          log.connect()
          await settle(20)
          if (told < LONG.length) write(log, LONG.slice(told))
          await settle()
          client.read()
          expect(client.told).toEqual(whole(one, LONG).filter(({ n }) => cursor === null || n! > 1))
        }
    },
  },
  {
    name: 'one that reads ahead of what is told starves nobody',
    async run(open, one) {
      for (const Kind of CLIENTS) {
        const { log, delivery } = setUp(open)
        const early = new Kind(one, delivery, 1).connect()
        write(log, LONG.slice(0, 5))
        await settle()
        log.write(LONG.slice(5))
        const ahead = new Kind(one, delivery, 1).connect()
        await settle()
        expect(codeOf(ahead)).toBe('complete')
        log.tell()
        await settle()
        for (const client of [early, ahead]) {
          client.read()
          expect(client.told).toEqual(whole(one, LONG))
        }
      }
    },
  },
  {
    name: 'a run that is old news to one, half known to another, and new to a third is told once to each',
    async run(open, one) {
      for (const Kind of CLIENTS) {
        const { log, delivery } = setUp(open)
        write(log, LONG.slice(0, 5))
        const clients = [new Kind(one, delivery, 1).connect()]
        await settle()
        for (const end of [8, 11]) {
          log.write(LONG.slice(end - 3, end))
          clients.push(new Kind(one, delivery, 1).connect())
          await settle()
        }
        log.tell()
        await settle()
        write(log, LONG.slice(11))
        await settle()
        for (const client of clients) {
          client.read()
          expect(client.told).toEqual(whole(one, LONG))
        }
      }
    },
  },
  {
    name: 'a run that was lost on its way is read from the log with the next one',
    async run(open, one) {
      for (const Kind of CLIENTS) {
        const { log, delivery } = setUp(open)
        write(log, LONG.slice(0, 5))
        const client = new Kind(one, delivery, 1).connect()
        await settle()
        log.write(LONG.slice(5, 8))
        log.lose()
        await settle()
        write(log, LONG.slice(8))
        await settle()
        client.read()
        expect(client.told).toEqual(whole(one, LONG))
      }
    },
  },
  {
    name: 'readers of one job in other forms are told what theirs tell',
    async run(open, one) {
      const { log, delivery } = setUp(open)
      const readers = [...FORMS, one].flatMap((form) =>
        CLIENTS.map((Kind) => ({ form, client: new Kind(form, delivery, 1).connect() })),
      )
      const [, records] = LOGS.find(([name]) => name.startsWith('hidden usage'))!
      for (const record of records) {
        write(log, [record])
        await settle(3)
      }
      await settle()
      for (const { form, client } of readers) {
        client.read()
        expect(client.told, form.name).toEqual(whole(form, records))
      }
    },
  },
  {
    name: 'a reader that takes nothing costs its buffer and a page, and is caught up when it reads',
    async run(open, one) {
      for (const Kind of CLIENTS) {
        const { log, delivery } = setUp(open)
        const slow = new Kind(one, delivery, 1)
        slow.isSlow = true
        slow.connect()
        const fast = new Kind(one, delivery, 1).connect()
        for (const record of LONG) {
          write(log, [record])
          await settle(2)
        }
        await settle()
        expect(codeOf(fast)).toBe('complete')
        expect(codeOf(slow)).toBe('open')
        // A page, rendered: a dialect may make much of little
        expect(slow.most).toBeLessThan(BUFFER + 8 * PAGE)
        slow.isSlow = false
        slow.take()
        await settle()
        slow.read()
        expect(slow.told).toEqual(whole(one, LONG))
      }
    },
  },
  {
    name: 'the end is told once: to those who wait for it, and to those who come after',
    async run(open, one) {
      const { log, delivery } = setUp(open)
      write(log, LONG.slice(0, 3))
      const told = [0, 0, 0, 0]
      const hear = (i: number) => () => void told[i]++
      delivery.ended(jobOf(one), hear(0))
      delivery.ended(jobOf(one), hear(1))()
      await settle()
      expect(told).toEqual([0, 0, 0, 0])
      log.write([endRecord({ state: 'done' })])
      delivery.ended(jobOf(one), hear(2))
      await settle()
      log.tell()
      await settle()
      delivery.ended(jobOf(one), hear(3))
      await settle()
      expect(told).toEqual([1, 0, 1, 1])
      expect(log.followers).toBe(0)
    },
  },
  {
    name: 'closed, it ends all readers where they stand, and they come back with their cursor',
    async run(open, one) {
      for (const Kind of CLIENTS) {
        const { log, delivery } = setUp(open)
        write(log, LONG.slice(0, 10))
        const client = new Kind(one, delivery, 1).connect()
        await settle()
        delivery.close()
        await settle()
        expect(codeOf(client)).toBe('gone')
        client.read()
        expect(log.followers).toBe(0)
        const late = new Kind(one, delivery, 1).connect()
        await settle()
        expect(['gone', 'draining']).toContain(codeOf(late))
        const again = open(log, clock, { buffer: BUFFER, page: PAGE })
        const back = new Kind(one, again, 1)
        back.told = client.told
        back.cursor = client.cursor
        back.connect()
        write(log, LONG.slice(10))
        await settle()
        back.read()
        expect(back.told).toEqual(whole(one, LONG))
      }
    },
  },
]
