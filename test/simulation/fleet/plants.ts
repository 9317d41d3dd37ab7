/** Bugs that the simulation of a fleet must find: in the scripts, around the coordinator, in it. */
import { Plan } from '../../../src/coordinator/plan/plan.ts'
import type { Coordinator } from '../../../src/core/ports/coordinator.ts'
import { Bus } from '../../../src/engines/redis/bus/bus.ts'
import { HeldJobs } from '../../../src/engines/redis/coordinator/held.ts'
import { KnownJobs } from '../../../src/engines/redis/coordinator/known.ts'
import { RedisPresence } from '../../../src/engines/redis/jobs/presence.ts'
import { FollowedLog } from '../../../src/engines/redis/log/followed.ts'
import { Follows } from '../../../src/engines/redis/log/follows.ts'
import { HeldAttempts } from '../../../src/engines/redis/work/held.ts'
import { broken, eachNth, wrap } from '../planting.ts'
import type { Reply } from './model.ts'
import { committing } from './model-commit.ts'
import { appending } from './model-log.ts'
import type { Faults } from './run.ts'
import { SCRIPTS } from './scripts.ts'

interface Plant {
  readonly name: string
  /** A seed that found it, to look there first: seeds shift with any change. */
  readonly from?: number
  readonly faults?: Faults
  /** Breaks a part; returns its repair. */
  readonly breaks?: () => () => void
}

const machine = (change: (real: Coordinator) => Partial<Coordinator>): Faults => ({
  coordinator: (real) => wrap(real, change(real)),
})

export const PLANTS: readonly Plant[] = [
  // ---- what is one script
  {
    name: 'a commit is told before it is stored',
    from: 14,
    faults: { scripts: { commit: committing({ tellsRefused: true }) } },
  },
  { name: 'commits have no fence', from: 14, faults: { scripts: { commit: committing({ noFence: true }) } } },
  { name: 'text has no fence', from: 84, faults: { scripts: { append: appending({ noFence: true }) } } },
  {
    name: 'text that is sent again is stored again',
    from: 55,
    faults: { scripts: { append: appending({ noNumbers: true }) } },
  },
  {
    name: 'a takeover counts from the start',
    faults: {
      scripts: {
        takeover(reach, shard, args) {
          const [won, term, epoch, , isOther] = SCRIPTS['takeover'](reach, shard, args) as readonly Reply[]
          return [won, term, epoch, 0, isOther]
        },
      },
    },
  },
  { name: 'a restart of Redis is not seen', faults: { isAlwaysTheSame: true } },
  // ---- the engine around the coordinator
  {
    name: 'a lease that is told twice runs twice',
    from: 16,
    breaks: broken(HeldAttempts.prototype, 'isOver', () => () => false),
  },
  {
    name: 'a lease that was not heard is not told again',
    from: 10,
    breaks: broken(HeldJobs.prototype, 'of', () => () => []),
  },
  {
    name: 'a submit that is sent again is taken anew',
    from: 49,
    breaks: broken(KnownJobs.prototype, 'ended', () => () => undefined),
  },
  { name: 'idempotency keys are not looked up', breaks: broken(KnownJobs.prototype, 'of', () => () => undefined) },
  {
    name: 'a new coordinator is not told who reads',
    breaks: broken(RedisPresence.prototype, 'reading', () => () => []),
  },
  {
    name: 'an end is stored before its text',
    faults: {
      logs(real, { bus }) {
        real.store = async (_job, _attempt, entry) => {
          await bus.put(entry)
          return 'stored'
        }
      },
    },
  },
  {
    name: 'what a message lacks is not read',
    breaks: broken(
      FollowedLog.prototype,
      'take',
      (real) =>
        function (this: FollowedLog, arrival, isRead) {
          const taken = real.call(this, arrival, isRead)
          if (taken !== 'gap') return taken
          this.seq = arrival.firstSeq + arrival.count - 1
          return 'told'
        },
    ),
  },
  {
    name: 'readers are not told that history was lost',
    from: 37,
    breaks: broken(
      Follows.prototype,
      'follow',
      (real) =>
        function (this: Follows, job, listener) {
          return real.call(this, job, listener)
        },
    ),
  },
  {
    name: 'a job that is taken again is told to be lost',
    from: 530,
    breaks: broken(Bus.prototype, 'settled', () => async () => {}),
  },
  // ---- the coordinator, and what a takeover gives it
  {
    name: 'a settle is lost',
    breaks: broken(Plan.prototype, 'release', (real) => {
      const skips = eachNth(5)
      return function (this: Plan, deployment) {
        if (!skips()) real.call(this, deployment)
      }
    }),
  },
  { name: 'an adopted lease is not counted', breaks: broken(Plan.prototype, 'adopt', () => () => {}) },
  {
    name: 'attempts are forgotten by a takeover',
    faults: machine((real) => ({
      restore: (job, found, now) => real.restore(job, { ...found, tally: { ...found.tally, attempts: 0 } }, now),
    })),
  },
  {
    name: 'lanes are forgotten by a takeover',
    faults: machine((real) => ({ restore: (job, found, now) => real.restore({ ...job, lane: null }, found, now) })),
  },
  {
    name: "a coordinator's own sleep, or deafness, is blamed on workers",
    from: 300,
    faults: machine(() => ({ woke() {} })),
  },
  { name: 'workers need not be heard', from: 8, faults: machine(() => ({ heartbeat() {} })) },
  { name: 'a lease that is over is never noticed', faults: machine(() => ({ nextAt: () => Infinity })) },
]
