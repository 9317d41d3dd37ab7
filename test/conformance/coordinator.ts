/**
 * What every coordinator must do, command by command. Each case gets a fresh one with one model `m` on two deployments:
 * `a` with one slot, and `b` after it, which serves embeddings too; and a worker `w` with room.
 */
import { deepStrictEqual as equal, ok } from 'node:assert'
import type { CoordinatorOptions } from '../../src/coordinator/coordinator.ts'
import { SluiceError } from '../../src/core/errors.ts'
import type { Change, Coordinator, Found, ScheduledJob } from '../../src/core/ports/coordinator.ts'
import type { Outcome } from '../../src/core/ports/work.ts'
import { DONE, OPTIONS } from '../simulation/world.ts'

export type Make = (options: CoordinatorOptions) => Coordinator
export type Case = readonly [name: string, run: (stage: Stage) => void]

const { leaseMs } = OPTIONS
const deployment = (name: string, order: number, concurrent: number, kinds: readonly ('chat' | 'embedding')[]) => ({
  ...{ name, kinds, upstreamModel: null, concurrent, order, revision: name },
})
const MODELS = [
  { name: 'm', deployments: [deployment('a', 0, 1, ['chat']), deployment('b', 1, 9, ['chat', 'embedding'])] },
]
export const FOUND: Found = {
  tally: { attempts: 0, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null },
  failedAt: [],
  reservation: null,
  held: null,
}
const RELEASED: Outcome = { kind: 'released' }
export const failed = (retry: boolean | 'elsewhere' = true, code: SluiceError['code'] = 'provider_error'): Outcome => ({
  kind: 'failed',
  error: new SluiceError(code),
  retry,
})
export const job = (id: string, more: Partial<ScheduledJob> = {}): ScheduledJob => ({
  ...{ id, kind: 'chat', tenant: 't', lane: null, session: null, pool: 'text', model: 'm', priority: 'normal' },
  ...{ promptTokens: 10, bodyBytes: 10, acceptedMono: 0, notBeforeMono: 0, deadlineMono: Infinity, joinKey: null },
  ...{ keyId: 'key_1', user: null, run: null, route: '', maxOutputTokens: null, price: null, policy: 'wait' },
  ...more,
})

export class Stage {
  readonly it: Coordinator

  constructor(make: Make, more: Partial<CoordinatorOptions> = {}) {
    this.it = make({ ...OPTIONS, models: MODELS, ...more })
    this.it.attach({ id: 'w', pools: [], slots: 9 }, 0)
  }

  submit(id: string, more: Partial<ScheduledJob> = {}): string {
    return this.it.submit(job(id, more), 0).kind
  }

  /** Leases, if `leasable`; returns what was leased, and where. */
  lease(now = 0): readonly string[] {
    this.it.changes()
    if (this.it.leasable) this.it.lease(now)
    return this.it
      .changes()
      .flatMap((each) => (each.type === 'leased' ? [`${each.id}.${each.attempt} ${each.claim.deployment}`] : []))
  }

  /** Since the last look. */
  told(): readonly string[] {
    return this.it
      .changes()
      .filter(({ type }) => type !== 'used')
      .map((change) => `${change.type} ${change.id}${'state' in change ? ` ${change.state}` : ''}`)
  }

  calls(): readonly number[] {
    return this.it.status(0).map(({ active }) => active)
  }
}

/** What is in line, and what is leased. */
const depth = ({ it }: Stage): readonly number[] => {
  const { queued, delayed, waiting, leased } = it.depth()
  return [queued + delayed + waiting, leased]
}

const ends: ReadonlyArray<readonly [string, (stage: Stage) => void, Change['type'] | null]> = [
  ['done', ({ it }) => void it.finish('1', 1, DONE, 1), 'ended'],
  ['failed for good', ({ it }) => void it.finish('1', 1, failed(false), 1), 'ended'],
  ['tried again', ({ it }) => void it.finish('1', 1, failed(), 1), 'returned'],
  ['handed back', ({ it }) => void it.finish('1', 1, RELEASED, 1), 'returned'],
  ['canceled by its worker', ({ it }) => void it.finish('1', 1, { kind: 'canceled' }, 1), 'ended'],
  ['its lease runs out', ({ it }) => it.tick(leaseMs), 'returned'],
  ['its worker leaves', ({ it }) => it.leave('w', 1), 'returned'],
  ['it is withdrawn', ({ it }) => it.withdraw('1'), null],
]

export const CASES: readonly Case[] = [
  [
    'submit: accepted, told once, and in line',
    (stage) => {
      equal(stage.submit('1'), 'accepted')
      equal(stage.told(), ['accepted 1'])
      equal(stage.told(), [])
      equal([stage.it.state('1'), depth(stage)], ['queued', [1, 0]])
    },
  ],
  [
    'submit: the same key and body is the same job, another body a conflict',
    ({ it, told }) => {
      equal(it.submit(job('2'), 0, { id: '1', sameBody: true }), { kind: 'joined', id: '1', standing: [] })
      const decision = it.submit(job('2'), 0, { id: '1', sameBody: false })
      ok(decision.kind === 'refused' && decision.error.code === 'idempotency_conflict')
      equal(told.call({ it } as Stage), [])
    },
  ],
  [
    'submit: an SDK’s retry joins what runs, and what ended well a while ago',
    ({ it }) => {
      const twin = (id: string, now: number) => it.submit(job(id, { joinKey: 'k' }), now, undefined, true)
      equal(twin('1', 0).kind, 'accepted')
      equal(twin('2', 0), { kind: 'joined', id: '1', standing: [] })
      it.lease(0)
      it.finish('1', 1, DONE, 1)
      equal(twin('3', OPTIONS.joinAfterEndMs), { kind: 'joined', id: '1', standing: [] })
      equal(twin('4', OPTIONS.joinAfterEndMs + 2).kind, 'accepted')
    },
  ],
  [
    'lease: pushed to a worker with its claim, in order, as far as there are slots',
    (stage) => {
      for (const id of ['1', '2']) stage.submit(id)
      equal(stage.lease(), ['1.1 a', '2.1 b'])
      equal(stage.calls(), [1, 1])
      equal(stage.it.leasable, false)
    },
  ],
  [
    'lease: a worker gets no more than its slots, and more when one is free again',
    (stage) => {
      stage.it.attach({ id: 'w', pools: [], slots: 1 }, 0)
      for (const id of ['1', '2']) stage.submit(id)
      equal(stage.lease(), ['1.1 a'])
      stage.it.finish('1', 1, DONE, 1)
      equal(stage.lease(1), ['2.1 a'])
    },
  ],
  [
    'lease: no job of a pool that the worker does not serve',
    (stage) => {
      stage.it.attach({ id: 'w', pools: ['image'], slots: 9 }, 0)
      stage.submit('1')
      stage.submit('2', { pool: 'image' })
      equal(stage.lease(), ['2.1 a'])
    },
  ],
  [
    'lease: only where its kind is served',
    (stage) => {
      stage.submit('1', { kind: 'embedding' })
      equal(stage.lease(), ['1.1 b'])
    },
  ],
  [
    'lease: what waits for deployments that want to be left alone is leasable when they do not any more',
    (stage) => {
      stage.submit('1')
      equal(stage.lease(), ['1.1 a'])
      const limited = failed(true, 'provider_rate_limited')
      stage.it.finish('1', 1, limited, 1)
      equal(stage.lease(1), ['1.2 b'])
      stage.it.finish('1', 2, limited, 2)
      equal(stage.lease(2), [])
      const at = Math.min(stage.it.nextAt(), 10_000)
      stage.it.tick(at)
      equal(stage.lease(at), ['1.3 a'])
    },
  ],
  [
    'lease: one of a lane at a time, in order',
    (stage) => {
      for (const id of ['1', '2']) stage.submit(id, { lane: 'l' })
      equal(stage.lease(), ['1.1 a'])
      // Also over an attempt that failed
      stage.it.finish('1', 1, failed(), 1)
      equal(stage.lease(1), ['1.2 b'])
      stage.it.finish('1', 2, DONE, 1_001)
      equal(stage.lease(1_001), ['2.1 a'])
    },
  ],
  [
    'lease: not before its time, and it is due by itself then',
    (stage) => {
      stage.submit('1', { notBeforeMono: 50 })
      equal(stage.lease(), [])
      equal(stage.it.nextAt(), 50)
      stage.it.tick(50)
      equal(stage.lease(50), ['1.1 a'])
    },
  ],
  ...ends.map(
    ([how, end, type]): Case => [
      `a claim is settled once: ${how}`,
      (stage) => {
        stage.submit('1')
        equal(stage.lease(), ['1.1 a'])
        end(stage)
        equal(stage.told(), type === null ? [] : [`${type} 1${type === 'ended' ? ` ${endState(how)}` : ''}`])
        equal(stage.it.finish('1', 1, DONE, leaseMs).kind, 'fenced')
        equal([stage.calls(), depth(stage)[1]], [[0, 0], 0])
      },
    ],
  ),
  [
    'finish: an older attempt is fenced, and the newer one is not',
    (stage) => {
      stage.submit('1')
      stage.lease()
      stage.it.finish('1', 1, RELEASED, 1)
      equal(stage.lease(1), ['1.2 a'])
      equal(stage.it.finish('1', 1, DONE, 2).kind, 'fenced')
      equal(stage.told(), [])
      equal(stage.it.finish('1', 2, DONE, 3), { kind: 'ended', state: 'done' })
      equal(stage.told(), ['ended 1 done'])
    },
  ],
  [
    'finish: not again where it failed, while there is another',
    (stage) => {
      stage.submit('1')
      stage.lease()
      const finished = stage.it.finish('1', 1, failed('elsewhere'), 1)
      ok(finished.kind === 'again')
      equal(stage.lease(finished.notBeforeMono), ['1.2 b'])
    },
  ],
  [
    'finish: attempts are counted, and the last one is the end',
    (stage) => {
      stage.submit('1')
      let now = 0
      for (let attempt = 1; attempt <= OPTIONS.maxAttempts; attempt++) {
        equal(stage.lease(now).length, 1)
        const finished = stage.it.finish('1', attempt, failed(), now)
        if (attempt === OPTIONS.maxAttempts) equal(finished, { kind: 'ended', state: 'failed' })
        else ok(finished.kind === 'again')
        now += 1_000
        stage.it.heartbeat('w', now)
        stage.it.tick(now)
      }
    },
  ],
  [
    'deadline: it expires in line, told by nextAt; what runs goes on',
    (stage) => {
      stage.submit('1', { deadlineMono: 40 })
      equal(stage.lease(), ['1.1 a'])
      stage.it.attach({ id: 'w', pools: [], slots: 0 }, 0)
      stage.submit('2', { deadlineMono: 40 })
      stage.told()
      equal(stage.it.nextAt(), 40)
      stage.it.tick(39)
      equal(stage.told(), [])
      stage.it.tick(40)
      equal(stage.told(), ['ended 2 expired'])
      equal(stage.it.state('1'), 'leased')
    },
  ],
  [
    'cancel: at once in line; where it runs its worker is told, and its end is canceled',
    (stage) => {
      stage.submit('1')
      stage.lease()
      stage.submit('2')
      stage.told()
      equal(
        [stage.it.cancel('2', 1), stage.it.cancel('1', 1), stage.it.cancel('3', 1)],
        ['canceled', 'canceling', 'unknown'],
      )
      equal(stage.told(), ['ended 2 canceled', 'canceling 1'])
      equal(stage.it.notices(), [{ type: 'revoked', id: '1', worker: 'w', attempt: 1, reason: 'canceled' }])
      equal(stage.it.finish('1', 1, failed(), 2), { kind: 'ended', state: 'canceled' })
    },
  ],
  [
    'heartbeat: prolongs; woke: nobody is to blame for time in which nothing ran',
    (stage) => {
      stage.submit('1')
      stage.lease()
      stage.it.heartbeat('w', leaseMs - 1)
      stage.it.tick(leaseMs + 1)
      equal(stage.it.state('1'), 'leased')
      stage.it.woke(1e9)
      stage.it.tick(1e9)
      equal(stage.it.state('1'), 'leased')
      stage.it.tick(1e9 + leaseMs)
      equal(stage.told(), ['returned 1'])
      ok(stage.it.notices().some((notice) => notice.type === 'revoked' && notice.reason === 'lost'))
    },
  ],
  [
    'pause and resume: what waits waits, and what runs goes on',
    (stage) => {
      stage.submit('1')
      stage.lease()
      stage.it.pause({ tenant: 't' }, 0)
      stage.submit('2')
      equal(stage.lease(), [])
      equal(stage.it.finish('1', 1, DONE, 1).kind, 'ended')
      equal(stage.lease(1), [])
      stage.it.resume({ tenant: 't' }, 1)
      equal(stage.lease(1), ['2.1 a'])
    },
  ],
  [
    'purge: what waits, as many as were asked for; not what runs',
    (stage) => {
      stage.submit('1')
      stage.lease()
      for (const id of ['2', '3', '4']) stage.submit(id)
      equal([stage.it.purge({}, 0, 2), stage.it.purge({}, 0), stage.it.state('1')], [['2', '3'], ['4'], 'leased'])
    },
  ],
  [
    'configure: what runs counts, and jobs of a model that is gone wait for it',
    (stage) => {
      stage.submit('1')
      stage.lease()
      stage.it.configure([], 0)
      stage.submit('2')
      equal(stage.lease(), [])
      stage.it.configure(MODELS, 0)
      // The slot of `a` is taken by a job that began before
      equal(stage.lease(), ['2.1 b'])
    },
  ],
  [
    'restore: in its place, its fence goes on, and where it failed is remembered',
    (stage) => {
      stage.it.restore(
        job('1'),
        { ...FOUND, tally: { ...FOUND.tally, attempts: 7 }, failedAt: [{ deployment: 'a', never: true }] },
        0,
      )
      equal(stage.told(), [])
      equal(stage.lease(), ['1.8 b'])
    },
  ],
  [
    'restore: what runs is adopted, counted, and lost if nobody comes for it',
    (stage) => {
      const claim = { deployment: 'a', reservation: null }
      const held = { worker: 'other', claim }
      stage.it.restore(job('1'), { ...FOUND, tally: { ...FOUND.tally, attempts: 3 }, held }, 0)
      equal([stage.calls(), stage.it.state('1')], [[1, 0], 'leased'])
      stage.submit('2')
      equal(stage.lease(), ['2.1 b'])
      stage.it.heartbeat('w', leaseMs)
      stage.it.tick(leaseMs)
      equal([stage.told(), stage.calls()], [['returned 1'], [0, 1]])
    },
  ],
  [
    'restore: suspects, at whose side workers died, run one at a time',
    (stage) => {
      const tally = { ...FOUND.tally, attempts: 2, deaths: OPTIONS.maxCrashes }
      for (const id of ['1', '2']) stage.it.restore(job(id), { ...FOUND, tally }, 0)
      equal(stage.lease(), ['1.3 a'])
      stage.it.finish('1', 3, DONE, 1)
      equal(stage.lease(1), ['2.3 a'])
    },
  ],
  [
    'died: whose worker dies each time it runs is given up',
    (stage) => {
      const tally = { attempts: 5, fails: 0, deaths: 5, crashes: OPTIONS.maxCrashes, ranMs: 0, ttftMs: null }
      stage.it.restore(job('1'), { ...FOUND, tally }, 0)
      stage.it.died([{ id: '1', deployment: null, outputTokens: 0 }], 0)
      equal(stage.told(), ['ended 1 failed'])
    },
  ],
]

const endState = (how: string): string => (how === 'done' ? 'done' : how === 'failed for good' ? 'failed' : 'canceled')
