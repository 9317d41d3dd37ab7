/**
 * Answers that jobs share, command by command (0051). The stage is that of coordinator.ts: a model `m` on a deployment
 * `a` with one slot and on `b`, and a worker with room for nine; its jobs may share answers for 1,000 ms.
 */
import { deepStrictEqual as equal } from 'node:assert'
import type { LevelLimits, LimitSettings } from '../../src/core/limits.ts'
import { NO_LIMITS } from '../../src/core/limits.ts'
import type { Decision, Found, ScheduledJob } from '../../src/core/ports/coordinator.ts'
import { FROM_CACHE, type Outcome } from '../../src/core/ports/work.ts'
import type { UsageRecord } from '../../src/core/usage-record.ts'
import { DONE } from '../simulation/world.ts'
import { FOUND, failed, job, type Make, Stage } from './coordinator.ts'

export type Case = readonly [name: string, run: (stage: SharingStage) => void]

const SHARE = { share: { key: 'k' } }
const RELEASED: Outcome = { kind: 'released' }
const TTL_MS = 1_000
const DEPLOYMENT = 'a'

export class SharingStage extends Stage {
  now = 0
  /** What is given back of the limits is seen here. */
  readonly records: UsageRecord[] = []

  readonly #inForce: { limits: LimitSettings }

  constructor(make: Make, limits: LimitSettings = NO_LIMITS, rules = { ttlMs: TTL_MS, maxEntries: 2, coalesce: true }) {
    const inForce = { limits }
    super(make, { limits: () => inForce.limits, shares: () => rules })
    this.#inForce = inForce
  }

  reload(limits: LimitSettings): void {
    this.#inForce.limits = limits
    this.it.limitsChanged(this.now)
  }

  /** How it is to get its answer, or why it is refused. */
  asked(id: string, more: Partial<ScheduledJob> = {}): string {
    const times = { acceptedMono: this.now, notBeforeMono: this.now }
    const decision: Decision = this.it.submit(job(id, { ...SHARE, ...times, ...more }), this.now)
    return decision.kind === 'refused'
      ? decision.error.code
      : decision.kind === 'accepted'
        ? String(decision.cached)
        : ''
  }

  /** All that can be leased, with what it repeats. */
  leased(): readonly string[] {
    const found: string[] = []
    this.it.tick(this.now)
    this.it.changes()
    while (this.it.leasable) {
      this.it.lease(this.now)
      for (const change of this.it.changes())
        if (change.type === 'leased') found.push(`${change.id} ${change.claim.source ?? change.claim.deployment}`)
    }
    return found
  }

  finish(id: string, outcome: Outcome = DONE, attempt = 1): string {
    this.it.changes()
    const finished = this.it.finish(id, attempt, outcome, this.now)
    const changes = this.it.changes()
    for (const change of changes) if (change.type === 'used') this.records.push(change.record)
    return finished.kind === 'ended' ? finished.state : finished.kind
  }

  cancel(id: string): string {
    return this.it.cancel(id, this.now)
  }
}

const held = (source?: string): Found => ({
  ...FOUND,
  tally: { ...FOUND.tally, attempts: 1 },
  held: {
    worker: 'w',
    claim: { deployment: source === undefined ? DEPLOYMENT : FROM_CACHE, reservation: null, ...(source && { source }) },
  },
})

export const CASES: readonly Case[] = [
  [
    'of jobs at the same time one asks a deployment; the others repeat it once it runs',
    (stage) => {
      equal(
        ['1', '2', '3'].map((id) => stage.asked(id)),
        ['miss', 'joined', 'joined'],
      )
      equal(stage.asked('4', { share: { key: 'other' } }), 'miss')
      equal(stage.leased(), ['1 a', '4 b', '2 1', '3 1'])
      equal(stage.calls(), [1, 1])
      for (const id of ['1', '2', '3']) equal(stage.finish(id), 'done')
      equal(stage.calls(), [0, 1])
    },
  ],
  [
    'none repeats what waits: it takes no slot of a worker before',
    (stage) => {
      stage.it.pause({ tenant: 't', model: 'm' }, 0)
      equal([stage.asked('1'), stage.asked('2')], ['miss', 'joined'])
      equal(stage.leased(), [])
      stage.it.resume({ tenant: 't', model: 'm' }, 0)
      equal(stage.leased(), ['1 a', '2 1'])
      equal(stage.finish('1', failed()), 'again')
      equal(stage.asked('3'), 'joined')
      // At once, where it has not failed
      equal(stage.leased(), ['1 b', '3 1'])
    },
  ],
  [
    'an answer that is there is repeated for its time, by the monotonic clock, and without a deployment',
    (stage) => {
      stage.asked('1')
      stage.leased()
      stage.finish('1')
      stage.now = TTL_MS - 1
      equal(stage.asked('2'), 'hit')
      equal([stage.leased(), stage.calls()], [['2 1'], [0, 0]])
      equal(stage.finish('2'), 'done')
      // A repeat keeps nothing fresh
      stage.now = TTL_MS
      equal(stage.asked('3'), 'miss')
    },
  ],
  [
    'a repeat is a record of a request, without tokens, money or deployment, that names its source',
    (stage) => {
      stage.asked('1')
      stage.leased()
      stage.finish('1')
      stage.asked('2')
      stage.leased()
      stage.finish('2')
      const [made, repeated] = stage.records
      equal([made.deployment, made.source, made.usage], [DEPLOYMENT, undefined, (DONE as { usage: object }).usage])
      equal([repeated.job, repeated.deployment, repeated.source, repeated.end], ['2', null, '1', 'done'])
      equal(repeated.usage, { promptTokens: 0, completionTokens: 0, estimated: false })
      equal([repeated.nanoDollars, repeated.priceVersion], [0, null])
    },
  ],
  [
    'one that asks for a new answer makes it, for those that come after',
    (stage) => {
      stage.asked('1')
      stage.leased()
      stage.finish('1')
      equal(stage.asked('2', { share: { key: 'k', refresh: true } }), 'miss')
      equal(stage.asked('3'), 'hit')
      equal(stage.leased(), ['2 a', '3 1'])
      stage.finish('2')
      stage.asked('4')
      equal(stage.leased(), ['4 2'])
    },
  ],
  [
    'its maker fails for good, is canceled or withdrawn: the oldest of the others makes it',
    (stage) => {
      for (const id of ['1', '2', '3', '4', '5']) stage.asked(id)
      stage.it.withdraw('1')
      equal(stage.cancel('2'), 'canceled')
      equal(stage.leased(), ['3 a', '4 3', '5 3'])
      equal(stage.finish('3', failed(false)), 'failed')
      // Those that repeated it come back when its log ends: the first makes the answer
      equal([stage.finish('4', failed('elsewhere')), stage.finish('5', failed('elsewhere'))], ['again', 'again'])
      equal(stage.leased(), ['4 a', '5 4'])
      equal([stage.finish('4', DONE, 2), stage.finish('5', DONE, 2)], ['done', 'done'])
      equal(
        stage.records.map(({ job: id, source }) => [id, source]),
        [
          ['4', undefined],
          ['5', '4'],
        ],
      )
    },
  ],
  [
    'its maker failed while a reader ran, which is lost as well: that one makes it',
    (stage) => {
      for (const id of ['1', '2']) stage.asked(id)
      stage.leased()
      equal(stage.finish('1', failed(false)), 'failed')
      stage.it.leave('w', 0)
      stage.it.attach({ id: 'w', pools: [], slots: 9 }, 0)
      equal(stage.leased(), ['2 a'])
    },
  ],
  [
    'an answer that is not there any more is made anew, by one for all',
    (stage) => {
      stage.asked('1')
      stage.leased()
      stage.finish('1')
      equal([stage.asked('2'), stage.asked('3')], ['hit', 'hit'])
      equal(stage.leased(), ['2 1', '3 1'])
      equal([stage.finish('2', failed('elsewhere')), stage.finish('3', failed('elsewhere'))], ['again', 'again'])
      equal(stage.asked('4'), 'joined')
      equal(stage.leased(), ['2 a', '3 2', '4 2'])
      equal(stage.it.state('3'), 'leased')
    },
  ],
  [
    'a repeat that can go on no further makes its own where its source still runs',
    (stage) => {
      stage.asked('1')
      stage.asked('2')
      stage.leased()
      equal(stage.finish('2', failed('elsewhere')), 'again')
      equal(stage.leased(), ['2 b'])
      equal([stage.finish('2', DONE, 2), stage.finish('1')], ['done', 'done'])
    },
  ],
  [
    'a repeat uses up no attempt, and one that failed for good is failed',
    (stage) => {
      for (const id of ['1', '2']) stage.asked(id)
      stage.leased()
      for (let attempt = 1; attempt <= 5; attempt++) {
        equal(stage.finish('2', RELEASED, attempt), 'again')
        equal(stage.leased(), ['2 1'])
      }
      equal(stage.finish('2', failed(false, 'provider_rejected'), 6), 'failed')
    },
  ],
  [
    "a cut answer, or one that was canceled, is nobody else's",
    (stage) => {
      stage.asked('1')
      stage.leased()
      const cut = { level: 'tenant', name: 't', unit: 'tokens', limit: 1, weight: 1, left: 0, waitMs: 1 } as const
      equal(stage.finish('1', { ...(DONE as Extract<Outcome, { kind: 'done' }>), cut }), 'done')
      equal(stage.asked('2'), 'miss')
      stage.leased()
      stage.cancel('2')
      equal(stage.finish('2', { kind: 'canceled' }), 'canceled')
      equal(stage.asked('3'), 'miss')
    },
  ],
  [
    'the one that nobody reads runs on for the others, and ends with the last of them',
    (stage) => {
      for (const id of ['1', '2', '3']) stage.asked(id)
      stage.leased()
      equal([stage.it.abandon('1', 0), stage.it.abandon('2', 0)], ['kept', 'canceling'])
      equal([stage.finish('2', { kind: 'canceled' }), stage.it.notices().length], ['canceled', 1])
      equal(stage.it.abandon('3', 0), 'canceling')
      stage.it.notices()
      equal(stage.finish('3', { kind: 'canceled' }), 'canceled')
      const [revoked] = stage.it.notices()
      equal([revoked?.type, (revoked as { id?: string })?.id], ['revoked', '1'])
      equal(stage.it.abandon('9', 0), 'unknown')
    },
  ],
  [
    'no job waits for one that may wait for it: in a lane, or with a delay; nor for one of a lower class',
    (stage) => {
      equal(stage.asked('1', { lane: 'l' }), 'miss')
      equal(stage.asked('2', { notBeforeMono: 50 }), 'miss')
      equal(stage.asked('3', { priority: 'low' }), 'miss')
      equal([stage.asked('4'), stage.asked('5', { priority: 'low' })], ['miss', 'joined'])
      equal(stage.leased(), ['1 a', '4 b', '3 b', '5 3'])
      stage.finish('1')
      equal([stage.asked('6', { lane: 'l' }), stage.asked('7')], ['miss', 'hit'])
    },
  ],
  [
    'answers that are kept: as many as the tenant may, those used the longest ago go first',
    (stage) => {
      for (const [i, key] of ['a', 'b', 'c'].entries()) {
        stage.asked(`m${i}`, { share: { key } })
        stage.leased()
        stage.finish(`m${i}`)
        if (key === 'b') equal(stage.asked('h', { share: { key: 'a' } }), 'hit')
      }
      equal(
        ['a', 'b', 'c'].map((key, i) => stage.asked(`n${i}`, { share: { key } })),
        ['hit', 'miss', 'hit'],
      )
    },
  ],
  [
    'restored: the oldest in line makes the answer, those that ran go on as they did',
    (stage) => {
      for (const id of ['1', '2']) stage.it.restore(job(id, SHARE), FOUND, 0)
      equal(stage.leased(), ['1 a', '2 1'])
    },
  ],
  [
    'adopted: who runs, makes or repeats as it did, and a new one joins them',
    (stage) => {
      stage.it.restore(job('1', SHARE), held(), 0)
      stage.it.restore(job('2', SHARE), held('1'), 0)
      equal(stage.calls(), [1, 0])
      equal(stage.asked('3'), 'joined')
      equal(stage.leased(), ['3 1'])
      for (const id of ['2', '1', '3']) equal(stage.finish(id), 'done')
      equal(
        stage.records.map(({ job: id, source }) => [id, source]),
        [
          ['2', '1'],
          ['1', undefined],
          ['3', '1'],
        ],
      )
      equal(stage.asked('4'), 'hit')
    },
  ],
  [
    'a worker that died while it repeated lost nothing that costs',
    (stage) => {
      stage.it.restore(job('1', SHARE), { ...FOUND, tally: { ...FOUND.tally, attempts: 1 } }, 0)
      stage.it.changes()
      stage.it.died([{ id: '1', deployment: FROM_CACHE, outputTokens: 5 }], 0)
      equal(
        stage.it.changes().map(({ type }) => type),
        ['returned'],
      )
    },
  ],
]

const level = (more: Partial<LevelLimits>): LevelLimits => ({ rates: [], budgets: [], concurrent: null, ...more })
const limited = (all: LevelLimits): LimitSettings => ({
  ...NO_LIMITS,
  tenants: { t: { all, eachUser: null, eachRun: null, eachKey: null, models: {} } },
})
const rate = (unit: 'tokens' | 'requests', burst: number) =>
  ({ unit, burst, perSecond: 0.001, whenOut: 'debt', oversize: 'refuse' }) as const
const WEIGHT = { policy: 'reject', promptTokens: 80, maxOutputTokens: 20, route: 'r' } as const

const ONE_EACH: LimitSettings = {
  ...NO_LIMITS,
  eachTenant: { all: null, eachUser: level({ concurrent: 1 }), eachRun: null, eachKey: null, models: {} },
}
const ANN = { user: 'ann' }
const BEN = { user: 'ben' }

export const LIMITED: ReadonlyArray<readonly [name: string, limits: LimitSettings, run: Case[1]]> = [
  [
    'a bucket for one: the others of the same question are let in, another question is not',
    limited(level({ rates: [rate('tokens', 100)] })),
    (stage) => {
      equal(
        [stage.asked('1', WEIGHT), stage.asked('2', WEIGHT), stage.asked('3', WEIGHT)],
        ['miss', 'joined', 'joined'],
      )
      equal(stage.asked('4', { ...WEIGHT, share: { key: 'other' } }), 'rate_limit_exceeded')
      equal(stage.leased(), ['1 a', '2 1', '3 1'])
      const standing = (): readonly number[] => stage.it.standing(job('x'), stage.now).map(({ left }) => left)
      for (const id of ['1', '2', '3']) stage.finish(id)
      const before = standing()
      stage.asked('5', WEIGHT)
      stage.leased()
      stage.finish('5')
      equal(standing(), before)
    },
  ],
  [
    'a repeat is a request',
    limited(level({ rates: [rate('requests', 3)] })),
    (stage) => {
      equal([stage.asked('1', WEIGHT), stage.asked('2', WEIGHT)], ['miss', 'joined'])
      stage.leased()
      for (const id of ['1', '2']) stage.finish(id)
      equal([stage.asked('3', WEIGHT), stage.asked('4', WEIGHT)], ['hit', 'rate_limit_exceeded'])
    },
  ],
  [
    'one that makes the answer after all holds what that weighs, and waits for room where there is none',
    limited(level({ rates: [rate('tokens', 100)] })),
    (stage) => {
      equal([stage.asked('1', WEIGHT), stage.asked('2', WEIGHT)], ['miss', 'joined'])
      stage.leased()
      stage.finish('1', failed(false))
      stage.asked('3', { ...WEIGHT, share: { key: 'other' } })
      equal(stage.leased(), ['3 a'])
      equal(stage.finish('2', failed('elsewhere')), 'again')
      equal([stage.leased(), stage.it.state('2')], [[], 'waiting'])
    },
  ],
  [
    "nobody waits for another user's limit: who has room makes the answer, and the one that waited repeats it",
    ONE_EACH,
    (stage) => {
      stage.asked('1', { user: 'ann', share: { key: 'other' } })
      equal(stage.leased(), ['1 a'])
      equal([stage.asked('2', ANN), stage.leased()], ['miss', []])
      equal([stage.asked('3', ANN), stage.asked('4', BEN)], ['joined', 'miss'])
      equal(stage.leased(), ['4 b'])
      // Ann has room for one at once, also of repeats
      stage.finish('1')
      equal(stage.leased(), ['3 4'])
      stage.finish('3')
      equal(stage.leased(), ['2 4'])
      for (const id of ['2', '4']) equal(stage.finish(id), 'done')
      equal(
        stage.records.map(({ job: id, source }) => [id, source]),
        [
          ['1', undefined],
          ['3', '4'],
          ['2', '4'],
          ['4', undefined],
        ],
      )
    },
  ],
  [
    'of users with limits of their own that ask at the same time one asks a deployment',
    ONE_EACH,
    (stage) => {
      stage.asked('1', ANN)
      stage.asked('2', BEN)
      stage.asked('3', { user: 'cem' })
      equal(stage.leased(), ['1 a', '2 1', '3 1'])
      equal(stage.calls(), [1, 0])
    },
  ],
  [
    'it ran, comes back, and then its own limit holds it back: another that has room makes the answer',
    ONE_EACH,
    (stage) => {
      stage.asked('1', { user: 'ben', share: { key: 'other' } })
      stage.asked('2', ANN)
      equal(stage.leased(), ['1 a', '2 b'])
      equal([stage.asked('3', BEN), stage.leased()], ['joined', []])
      equal(stage.finish('2', failed()), 'again')
      stage.asked('4', { user: 'ann', share: { key: 'third' } })
      equal(stage.leased(), ['4 b'])
      stage.now = 30
      stage.finish('1')
      equal(stage.leased(), ['3 a'])
    },
  ],
  [
    'it comes back to the front, and its reader waits under the same limit: neither waits for the other for ever',
    ONE_EACH,
    (stage) => {
      stage.asked('1', ANN)
      stage.leased()
      equal([stage.asked('2', ANN), stage.leased()], ['joined', []])
      stage.it.pause({ tenant: 't', model: 'm' }, 0)
      stage.asked('3', { user: 'cem', share: { key: 'other' } })
      equal(stage.finish('1', RELEASED), 'again')
      stage.it.resume({ tenant: 't', model: 'm' }, 0)
      equal(stage.leased(), ['1 a', '3 b'])
      stage.finish('1', DONE, 2)
      equal(stage.leased(), ['2 1'])
    },
  ],
  [
    'a limit, or a switch, that comes later: who waited for one that it holds back makes the answer',
    NO_LIMITS,
    (stage) => {
      stage.it.pause({ tenant: 't', model: 'm' }, 0)
      equal([stage.asked('1', { keyId: 'k1' }), stage.asked('2', { keyId: 'k2' })], ['miss', 'joined'])
      stage.reload({ ...NO_LIMITS, keys: { k1: level({ concurrent: 0 }) } })
      stage.it.resume({ tenant: 't', model: 'm' }, 0)
      equal(stage.leased(), ['2 a'])
      stage.finish('2')
      stage.reload(NO_LIMITS)
      equal(stage.leased(), ['1 2'])
    },
  ],
  [
    'a maker that nobody reads, and that another overtakes, is canceled',
    ONE_EACH,
    (stage) => {
      stage.asked('1', ANN)
      equal([stage.leased(), stage.asked('2', ANN)], [['1 a'], 'joined'])
      equal(stage.it.abandon('1', 0), 'kept')
      stage.asked('3', { user: 'ann', share: { key: 'other' }, priority: 'high' })
      equal(stage.finish('1', RELEASED), 'again')
      equal(stage.leased(), ['3 a'])
      equal([stage.asked('4', BEN), stage.leased()], ['miss', ['4 b']])
      equal([stage.it.state('1'), stage.it.state('2')], [null, 'waiting'])
      stage.finish('3')
      equal(stage.leased(), ['2 4'])
    },
  ],
]
