/**
 * Bugs, each of which the simulation or the coordinator's suite must find: in the engine around the coordinator, in
 * what passes between them, or in the coordinator's parts.
 */
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { Hedging } from '../../src/coordinator/hedging.ts'
import { Budget } from '../../src/coordinator/limits/budget.ts'
import { Limits } from '../../src/coordinator/limits/limits.ts'
import { Rate } from '../../src/coordinator/limits/rate.ts'
import { Running } from '../../src/coordinator/limits/running.ts'
import { Plan } from '../../src/coordinator/plan/plan.ts'
import type { Planned } from '../../src/coordinator/plan/planned.ts'
import { Block } from '../../src/coordinator/scheduler/blocks.ts'
import { LineUp } from '../../src/coordinator/scheduler/line-up.ts'
import { Seats } from '../../src/coordinator/seats.ts'
import { Spending } from '../../src/coordinator/spending.ts'
import type { Amounts } from '../../src/core/limits.ts'
import type { Change, Coordinator, FailedAt, Tally } from '../../src/core/ports/coordinator.ts'
import { broken, eachNth, wrap } from './planting.ts'
import { type Faults, OPTIONS } from './world.ts'

export interface Plant {
  readonly name: string
  readonly faults?: Faults
  /** Breaks a part; returns its repair. */
  readonly breaks?: () => () => void
}

/** The coordinator with some of its methods replaced. */
const wrapped = (change: (real: Coordinator) => Partial<Coordinator>): Faults => ({
  make(options) {
    const real = createCoordinator(options)
    return wrap(real, change(real))
  },
})

/** Replaces changes of this type, or leaves them out. */
const changed = (type: Change['type'], what: (change: Change) => readonly Change[]): Faults =>
  wrapped((real) => ({ changes: () => real.changes().flatMap((each) => (each.type === type ? what(each) : [each])) }))

const restored = (change: (tally: Tally, failedAt: FailedAt) => { tally?: Tally; failedAt?: FailedAt }): Faults =>
  wrapped((real) => ({
    restore: (job, found, now) => real.restore(job, { ...found, ...change(found.tally, found.failedAt) }, now),
  }))

const scheduled = (change: (now: number) => object): Faults =>
  wrapped((real) => ({
    submit: (job, now, known, isRetry) => real.submit({ ...job, ...change(now) }, now, known, isRetry),
  }))

/** What limits must show: the coordinator's own suite, which has none, does not. */
export const LIMIT_PLANTS: readonly Plant[] = [
  { name: 'what an attempt used is not stored', faults: { loses: ({ type }) => type === 'used' } },
  { name: 'what an attempt used is not told', faults: changed('used', () => []) },
  { name: 'what an attempt used is told twice', faults: changed('used', (change) => [change, change]) },
  {
    name: 'what an attempt used is told after its end',
    faults: wrapped((real) => ({
      changes: () => real.changes().toSorted((a, b) => Number(a.type === 'used') - Number(b.type === 'used')),
    })),
  },
  {
    name: 'another pays',
    faults: changed('used', (change) =>
      change.type === 'used' ? [{ ...change, record: { ...change.record, keyId: 'key_9' } }] : [change],
    ),
  },
  {
    name: 'what died with its process is free',
    faults: wrapped((real) => ({
      died: (attempts, now) =>
        real.died(
          attempts.map((each) => ({ ...each, outputTokens: 0 })),
          now,
        ),
    })),
  },
  { name: 'a second call is not stored', faults: { loses: ({ type }) => type === 'hedged' } },
  {
    name: 'a second call whose worker is gone is nobody’s',
    breaks: broken(Hedging.prototype, 'settle', () => () => {}),
  },
  {
    name: 'one of two calls is over twice',
    breaks: broken(
      Hedging.prototype,
      'raced',
      (real) =>
        function (this: Hedging, notes, race, now) {
          const { second } = notes
          real.call(this, notes, race, now)
          notes.second = second
        },
    ),
  },
  {
    name: 'a second call holds nothing, whatever there is',
    breaks: broken(Spending.prototype, 'holdSecond', () => () => null),
  },
  {
    name: 'a restart forgets a second call',
    breaks: broken(Hedging.prototype, 'adopt', () => () => {}),
  },
  { name: 'levels are not stored', faults: wrapped(() => ({ takeLevels: () => [] })) },
  {
    name: 'levels are forgotten by a restart',
    faults: wrapped((real) => ({ openLimits: (_levels, calendar, now) => real.openLimits([], calendar, now) })),
  },
  {
    name: 'what waits holds nothing after a restart',
    faults: wrapped((real) => ({
      restore: (job, found, now) => real.restore(job, { ...found, reservation: null }, now),
    })),
  },
  {
    name: 'what runs holds nothing after a restart',
    faults: wrapped((real) => ({
      restore: (job, found, now) => {
        const { held } = found
        const free = held && { ...held, claim: { ...held.claim, reservation: null } }
        real.restore(job, { ...found, held: free }, now)
      },
    })),
  },
  {
    name: 'another attempt is cut',
    faults: wrapped((real) => ({
      notices: () =>
        real.notices().map((each) => (each.type === 'cut' ? { ...each, attempt: each.attempt + 1 } : each)),
    })),
  },
  { name: 'a rate lets all in', breaks: broken(Rate.prototype, 'waitMs', () => () => 0) },
  { name: 'a budget lets all in', breaks: broken(Budget.prototype, 'waitMs', () => () => 0) },
  { name: 'any number may run', breaks: broken(Running.prototype, 'waitMs', () => () => 0) },
  {
    name: 'a hold is not given back',
    breaks: broken(Limits.prototype, 'settle', (real) => {
      const skips = eachNth(9)
      return function (this: Limits, hold, used, now) {
        if (!skips()) real.call(this, hold, used, now)
      }
    }),
  },
  {
    name: 'what was used is given back',
    breaks: broken(
      Limits.prototype,
      'settle',
      (real) =>
        function (this: Limits, hold, _used: Amounts | null, now) {
          real.call(this, hold, null, now)
        },
    ),
  },
  { name: 'who waits is not told of what was given back', breaks: broken(Limits.prototype, 'freed', () => () => []) },
  {
    name: 'who waits at a level that is newer than a job is not told when it ends',
    breaks: broken(
      Limits.prototype,
      'freed',
      (real) =>
        function (this: Limits, hold) {
          return real.call(this, { ...hold, ranOn: hold.on })
        },
    ),
  },
  {
    name: 'one that may try next, and can’t, is in the way of all',
    breaks: broken(
      Block.prototype,
      'letOut',
      (real) =>
        function (this: Block, entry) {
          real.call(this, entry, Infinity)
        },
    ),
  },
  { name: 'who waits is not told of other limits', breaks: broken(LineUp.prototype, 'limitsChanged', () => () => {}) },
]

export const PLANTS: readonly Plant[] = [
  // ---- the engine
  { name: 'told before committed', faults: { tellsBeforeCommit: true } },
  { name: 'an accepted job is not stored', faults: { loses: ({ type }) => type === 'accepted' } },
  { name: 'a lease is not stored', faults: { loses: ({ type }) => type === 'leased' } },
  { name: 'a return is not stored', faults: { loses: ({ type }) => type === 'returned' } },
  { name: 'an end is not stored', faults: { loses: ({ type }) => type === 'ended' } },
  // ---- between them
  { name: 'lost return', faults: changed('returned', () => []) },
  { name: 'lost end', faults: changed('ended', () => []) },
  { name: 'lost accepted', faults: changed('accepted', () => []) },
  { name: 'lost canceling', faults: changed('canceling', () => []) },
  { name: 'a job ends twice', faults: changed('ended', (change) => [change, change]) },
  { name: 'leased to two', faults: changed('leased', (change) => [change, change]) },
  {
    name: 'no fence',
    faults: wrapped((real) => ({
      finish(id, attempt, outcome, now) {
        const finished = real.finish(id, attempt, outcome, now)
        return finished.kind === 'fenced' ? real.finish(id, attempt + 1, outcome, now) : finished
      },
    })),
  },
  { name: 'deadline ignored', faults: scheduled(() => ({ deadlineMono: Infinity })) },
  { name: 'not-before ignored', faults: scheduled((now) => ({ notBeforeMono: now })) },
  { name: 'order of a lane ignored', faults: scheduled(() => ({ lane: null })) },
  { name: 'wrong pool', faults: scheduled(() => ({ pool: 'text' })) },
  { name: 'wrong tenant', faults: scheduled(() => ({ tenant: 'a' })) },
  { name: 'pause ignored', faults: wrapped(() => ({ pause() {} })) },
  { name: 'cancel forgotten', faults: wrapped(() => ({ cancel: () => 'canceling' })) },
  { name: 'a worker that left keeps its leases', faults: wrapped(() => ({ leave() {} })) },
  { name: 'clock that sleeps is blamed on workers', faults: wrapped(() => ({ woke() {} })) },
  { name: 'heartbeat ignored', faults: wrapped(() => ({ heartbeat() {} })) },
  {
    name: 'a fence that starts over after a restart',
    faults: restored((tally) => ({ tally: { ...tally, attempts: 0 } })),
  },
  { name: 'where a job failed is forgotten by a restart', faults: restored(() => ({ failedAt: [] })) },
  { name: 'deaths are forgotten by a restart', faults: restored((tally) => ({ tally: { ...tally, deaths: 0 } })) },
  {
    name: 'never leasable again after a finish',
    faults: wrapped((real) => {
      let isOver = false
      return {
        finish: (...args) => {
          isOver = true
          return real.finish(...args)
        },
        get leasable() {
          return !isOver && real.leasable
        },
      }
    }),
  },
  { name: 'never due', faults: wrapped(() => ({ nextAt: () => Infinity })) },
  { name: 'leases run out too early', faults: { options: { leaseMs: OPTIONS.leaseMs / 2 } } },
  { name: 'leases run out too late', faults: { options: { leaseMs: OPTIONS.leaseMs * 2 } } },
  // ---- its parts
  {
    name: 'room that came is not told',
    breaks: broken(
      Plan.prototype,
      'takeRoom',
      (real) =>
        function (this: Plan) {
          real.call(this)
          return false
        },
    ),
  },
  {
    name: 'claim not settled',
    breaks: broken(Plan.prototype, 'release', (real) => {
      const skips = eachNth(5)
      return function (this: Plan, ...of) {
        if (!skips()) real.apply(this, of)
      }
    }),
  },
  {
    name: 'claim settled twice',
    breaks: broken(Plan.prototype, 'release', (real) => {
      const repeats = eachNth(5)
      return function (this: Plan, notes, ...of) {
        const { call } = notes
        real.call(this, notes, ...of)
        notes.call = call
        if (repeats()) real.call(this, notes, ...of)
        notes.call = null
      }
    }),
  },
  {
    name: 'an adopted lease is not counted',
    breaks: broken(Plan.prototype, 'adopt', () => () => {}),
  },
  {
    name: 'wrong kind',
    breaks: broken(
      Plan.prototype,
      'claim',
      (real) =>
        function (this: Plan, notes, now) {
          const asChat: Planned = { ...notes, job: { ...notes.job, kind: 'chat' } }
          const claimed = real.call(this, asChat, now)
          notes.call = asChat.call
          return claimed
        },
    ),
  },
  {
    name: 'where a job failed is not remembered',
    breaks: broken(
      Plan.prototype,
      'claim',
      (real) =>
        function (this: Plan, notes, now) {
          const anywhere: Planned = { ...notes, job: notes.job, failedAt: [] }
          const claimed = real.call(this, anywhere, now)
          notes.call = anywhere.call
          return claimed
        },
    ),
  },
  {
    name: 'a reload lets more run than there are slots',
    breaks: broken(
      Plan.prototype,
      'configure',
      (real) =>
        function (this: Plan, models) {
          const endless = models.map(({ name, deployments }) => ({
            name,
            deployments: deployments.map((each) => ({ ...each, concurrent: Infinity })),
          }))
          real.call(this, endless)
        },
    ),
  },
  { name: 'a worker gets more than its slots', breaks: broken(Seats.prototype, 'take', () => () => {}) },
  { name: 'a worker’s slot is never free again', breaks: broken(Seats.prototype, 'giveBack', () => () => false) },
]
