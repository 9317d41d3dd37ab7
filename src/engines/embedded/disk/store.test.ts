import { DatabaseSync } from 'node:sqlite'
import { beforeEach, describe, expect, test } from 'vitest'
import { manualClock } from '../../../../test/manual-clock.ts'
import { Wheel } from '../../../core/clock.ts'
import type { SluiceError } from '../../../core/errors.ts'
import type { Happened } from '../../../core/facts.ts'
import type { DiskEvents } from './disk.ts'
import { type LogShare, Store } from './store.ts'

/** A log with nothing to write, unless told. */
class QuietLog implements LogShare {
  pending = 0
  stored = 0
  error: SluiceError | null = null
  untidy = 0
  dirty(beat: boolean): boolean {
    return this.pending > 0 || (beat && this.untidy > 0)
  }
  write(beat: boolean): void {
    if (beat && this.untidy > 0) this.untidy--
  }
  written(): void {
    this.stored += this.pending
    this.pending = 0
  }
  failed(error: SluiceError): void {
    this.error = error
  }
}

let clock: ReturnType<typeof manualClock>
let wheel: Wheel
let db: DatabaseSync
let log: QuietLog
let facts: Happened[]
let calls: string[]
let disk: DiskEvents
let store: Store

beforeEach(() => {
  clock = manualClock()
  wheel = new Wheel(clock)
  db = new DatabaseSync(':memory:')
  db.exec('CREATE TABLE t (x INTEGER PRIMARY KEY, filler TEXT); CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)')
  log = new QuietLog()
  facts = []
  calls = []
  store = new Store({ db, durability: 'power', clock, wheel, emit: (fact) => facts.push(fact) })
  store.start(log, (events) => {
    disk = events
    return {
      sync: () => calls.push('sync'),
      checkpoint: () => calls.push('checkpoint'),
      held: () => calls.push('held'),
      close: async () => {},
    }
  })
})

const insert = (x: number, filler = ''): (() => void) => {
  return () => void db.prepare('INSERT INTO t VALUES (?, ?)').run(x, filler)
}
const rows = (): number => (db.prepare('SELECT count(*) AS n FROM t').get() as { n: number }).n
const settled = (): Promise<void> => new Promise((done) => setImmediate(done))
/** What became of it, by now. */
const fate = (promise: Promise<unknown>): { state: string } => {
  const result = { state: 'open' }
  promise.then(
    () => (result.state = 'done'),
    (error) => (result.state = error.code),
  )
  return result
}

describe('commits', () => {
  test('writes of one turn share a commit at its end; the log shares it too', async () => {
    const [a, b] = [fate(store.run(insert(1), false)), fate(store.run(insert(2), true))]
    log.pending = 3
    expect(rows()).toBe(0)
    clock.advance(0)
    await settled()
    expect([a.state, b.state, rows(), store.commits, log.stored]).toEqual(['done', 'done', 2, 1, 3])
  })

  const record = (): void => {
    log.pending++
    store.turn()
  }

  test('a lone record is committed at the end of its turn', () => {
    record()
    expect(log.stored).toBe(0)
    clock.advance(0)
    expect([log.stored, store.commits]).toEqual([1, 1])
    clock.advance(20)
    record()
    clock.advance(0)
    expect([log.stored, store.commits]).toEqual([2, 2])
  })

  test('records that follow sooner share a commit: with the first that comes a beat after the last one', () => {
    record()
    clock.advance(2)
    record()
    clock.advance(2)
    record()
    clock.advance(0)
    expect([log.stored, store.commits]).toEqual([1, 1])
    clock.advance(1)
    record()
    clock.advance(0)
    expect([log.stored, store.commits]).toEqual([4, 2])
    clock.advance(50)
    expect(store.commits).toBe(2)
  })

  test('or two beats later, where none comes', () => {
    record()
    clock.advance(2)
    record()
    clock.advance(9)
    expect(log.stored).toBe(1)
    clock.advance(1)
    expect([log.stored, store.commits]).toEqual([2, 2])
  })

  test('while reads are gathered, records wait for the beat that brings them', () => {
    clock.advance(100)
    wheel.in(20, () => {})
    record()
    clock.advance(4)
    expect(log.stored).toBe(0)
    clock.advance(1)
    expect(log.stored).toBe(1)
  })

  test('what is left to clean is cleaned by commits of its own, with pauses', () => {
    log.untidy = 3
    record()
    clock.advance(0)
    expect(log.untidy).toBe(2)
    clock.advance(100)
    expect([log.untidy, store.commits]).toEqual([0, 3])
  })

  test('a write that breaks a rule harms only itself', async () => {
    const [a, bad, b] = [
      fate(store.run(insert(1), false)),
      fate(store.run(insert(1), true)),
      fate(store.run(insert(2), false)),
    ]
    clock.advance(5)
    await settled()
    expect([a.state, bad.state, b.state, rows()]).toEqual(['done', 'internal', 'done', 2])
    expect(store.down).toBeNull()
  })

  test('a full disk: what may be refused is, the rest is kept and tried four times a second', async () => {
    const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
    db.exec(`PRAGMA max_page_count = ${pages}`)
    const refusable = fate(store.run(insert(1, 'x'.repeat(100_000)), false))
    const kept = fate(store.run(insert(2, 'x'.repeat(100_000)), true))
    log.pending = 1
    clock.advance(0)
    await settled()
    expect([refusable.state, kept.state, log.stored]).toEqual(['storage_full', 'open', 0])
    expect(fate(store.run(insert(3), false))).toBeDefined()
    clock.advance(1_000)
    await settled()
    expect([kept.state, log.stored, rows()]).toEqual(['open', 0, 0])
    db.exec('PRAGMA max_page_count = 100000')
    clock.advance(249)
    const before = rows()
    clock.advance(1)
    await settled()
    expect([before, kept.state, log.stored, rows(), store.down]).toEqual([0, 'done', 1, 1, null])
    expect(facts.map((f) => f.type)).toEqual(['store-degraded', 'store-recovered'])
  })
})

describe('power-safe', () => {
  test('means: a sync that started after the commit has ended', async () => {
    await commit(1)
    const first = fate(store.synced())
    expect(calls).toEqual(['sync'])
    await commit(2)
    const second = fate(store.synced())
    clock.advance(10)
    expect(calls).toEqual(['sync'])
    disk.synced(1, 0)
    await settled()
    expect([first.state, second.state, calls]).toEqual(['done', 'open', ['sync', 'sync']])
    disk.synced(1, 0)
    await settled()
    expect(second.state).toBe('done')
    expect(fate(store.synced())).toEqual({ state: 'open' })
    await settled()
  })

  test('what is needless once a sync has ended is cleaned, though nothing else is written', async () => {
    await commit(1)
    const { commits } = store
    log.untidy = 2
    disk.synced(1, 0)
    clock.advance(100)
    expect([log.untidy, store.commits]).toEqual([0, commits + 2])
  })

  test('one sync covers all that was committed before it; syncs are some ms apart', async () => {
    await commit(1)
    const waiting = [fate(store.synced())]
    for (let x = 2; x < 6; x++) {
      await commit(x)
      waiting.push(fate(store.synced()))
    }
    disk.synced(1, 0)
    expect(calls).toEqual(['sync'])
    clock.advance(1)
    expect(calls).toEqual(['sync'])
    clock.advance(1)
    expect(calls).toEqual(['sync', 'sync'])
    disk.synced(1, 0)
    await settled()
    expect(waiting.map((w) => w.state)).toEqual(Array(5).fill('done'))
  })

  test('where many wait, the next sync is for more', async () => {
    let x = 0
    /** Until the next sync begins, for so many. */
    async function syncFor(waiters: number): Promise<number> {
      const syncs = calls.length
      await commit(++x)
      for (let i = 0; i < waiters; i++) void store.synced()
      let waited = 0
      for (; calls.length === syncs; waited++) clock.advance(1)
      disk.synced(0, 0)
      return waited
    }
    const took: number[] = []
    for (const waiters of [1, 1, 20, 20, 1, 1]) took.push(await syncFor(waiters))
    expect(took).toEqual([0, 2, 2, 5, 5, 2])
  })

  test('what nobody waits for is synced within 50 ms', async () => {
    await commit(1)
    clock.advance(5)
    disk.synced(1, 0)
    calls.length = 0
    log.pending = 1
    store.turn()
    clock.advance(40)
    expect(calls).toEqual([])
    clock.advance(15)
    expect(calls).toEqual(['sync'])
  })

  test('after a failed sync nothing is acknowledged, and no sync is tried again', async () => {
    await commit(1)
    const waiting = fate(store.synced())
    disk.failed('EIO')
    await settled()
    expect(waiting.state).toBe('storage_failed')
    expect(log.error?.code).toBe('storage_failed')
    const [late, sync] = [fate(store.run(insert(2), true)), fate(store.synced())]
    clock.advance(1_000)
    await settled()
    expect([late.state, sync.state, calls, rows()]).toEqual(['storage_failed', 'storage_failed', ['sync'], 1])
  })
})

describe('a long WAL', () => {
  test('is checkpointed by size, and starts over in a moment without commits', async () => {
    store.wrote(5 << 20)
    await commit(1)
    expect(calls).toContain('checkpoint')
    disk.hold()
    expect(calls.at(-1)).toBe('held')
    const held = fate(store.run(insert(2), true))
    clock.advance(20)
    await settled()
    expect([held.state, rows()]).toEqual(['open', 1])
    disk.release()
    await settled()
    expect([held.state, rows()]).toEqual(['done', 2])
  })

  test('does not hold commits for long', async () => {
    disk.hold()
    const held = fate(store.run(insert(1), true))
    clock.advance(50)
    await settled()
    expect(held.state).toBe('done')
  })
})

test('closing commits and syncs what is pending', async () => {
  const pending = fate(store.run(insert(1), true))
  const closing = store.close(insert(9))
  for (let i = 0; i < 5; i++) {
    await settled()
    clock.advance(5)
    if (calls.length > 0 && calls.pop() === 'sync') disk.synced(1, 0)
  }
  await closing
  expect([pending.state, rows()]).toEqual(['done', 2])
  const late = fate(store.run(insert(10), true))
  await settled()
  expect([late.state, rows()]).toEqual(['draining', 2])
})

async function commit(x: number): Promise<void> {
  const writing = store.run(insert(x), true)
  clock.advance(0)
  await writing
}
