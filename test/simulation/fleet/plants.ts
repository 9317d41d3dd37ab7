/** Bugs that the simulation of a fleet must find: in the scripts, around the coordinator, in it. */
import { Plan } from '../../../src/coordinator/plan/plan.ts'
import type { LevelState } from '../../../src/core/limits.ts'
import type { Coordinator } from '../../../src/core/ports/coordinator.ts'
import { Bus } from '../../../src/engines/redis/bus/bus.ts'
import { HeldJobs } from '../../../src/engines/redis/coordinator/held.ts'
import { KnownJobs } from '../../../src/engines/redis/coordinator/known.ts'
import { Used } from '../../../src/engines/redis/coordinator/used.ts'
import { RedisPresence } from '../../../src/engines/redis/jobs/presence.ts'
import { FollowedLog } from '../../../src/engines/redis/log/followed.ts'
import { Follows } from '../../../src/engines/redis/log/follows.ts'
import { HeldAttempts } from '../../../src/engines/redis/work/held.ts'
import { broken, eachNth, wrap } from '../planting.ts'
import type { Reply } from './model.ts'
import { committing } from './model-commit.ts'
import { appending } from './model-log.ts'
import { DEAF_COORDINATOR, type Faults, LOSING_REDIS } from './run.ts'
import { SCRIPTS } from './scripts.ts'

interface Plant {
  readonly name: string
  /** The verdict that it must meet: of the ledger, of a reader, or that something never came. */
  readonly seen: RegExp
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
    seen: /is not stored$/,
    from: 14,
    faults: { scripts: { commit: committing({ tellsRefused: true }) } },
  },
  {
    name: 'commits have no fence',
    seen: /runs, and has ended$|is given to|is accepted as \d+, after|is recorded twice$/,
    from: 14,
    faults: { scripts: { commit: committing({ noFence: true }) } },
  },
  {
    name: 'text has no fence',
    seen: / is not \S+'s, which writes /,
    from: 84,
    faults: { scripts: { append: appending({ noFence: true }) } },
  },
  {
    name: 'text that is sent again is stored again',
    seen: /record \d+ is stored after /,
    from: 55,
    faults: { scripts: { append: appending({ noNumbers: true }) } },
  },
  {
    name: 'a takeover counts from the start',
    seen: /is accepted as 1, after \d+$/,
    faults: {
      scripts: {
        takeover(reach, shard, args) {
          const [won, term, epoch, , isOther] = SCRIPTS['takeover'](reach, shard, args) as readonly Reply[]
          return [won, term, epoch, 0, isOther]
        },
      },
    },
  },
  { name: 'a restart of Redis is not seen', seen: / \d+ \d+ was .*, and is /, faults: { isAlwaysTheSame: true } },
  // ---- the engine around the coordinator
  {
    name: 'a lease that is told twice runs twice',
    seen: /attempt \d+ of \S+ runs again$/,
    from: 16,
    breaks: broken(HeldAttempts.prototype, 'over', () => () => undefined),
  },
  {
    name: 'a lease that was not heard is not told again',
    seen: /: forgotten: /,
    from: 10,
    breaks: broken(HeldJobs.prototype, 'of', () => () => []),
  },
  {
    name: 'a submit that is sent again is taken anew',
    seen: /\d+ calls are counted of \d+$/,
    from: 49,
    breaks: broken(KnownJobs.prototype, 'ended', () => () => undefined),
  },
  {
    name: 'idempotency keys are not looked up',
    seen: / have the key /,
    breaks: broken(KnownJobs.prototype, 'of', () => () => undefined),
  },
  {
    name: 'a new coordinator is not told who reads',
    seen: /nobody canceled it$/,
    breaks: broken(RedisPresence.prototype, 'reading', () => () => []),
  },
  {
    name: 'an end is stored before its text',
    seen: /is done with \d+ records of \d+$/,
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
    seen: /a reader at \S+ \S+ has \d+ of \d+ records/,
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
    seen: /a reader at \S+ \S+ (has \d+ of \d+ records|is lost, untold)/,
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
    seen: /is told to be lost$/,
    from: 171,
    faults: { scenario: LOSING_REDIS },
    breaks: broken(Bus.prototype, 'settled', () => async () => {}),
  },
  // ---- limits, and what was used
  {
    name: 'an attempt after the first is recorded twice',
    seen: /is recorded twice$/,
    breaks: broken(
      Used.prototype,
      'add',
      (real) =>
        function (this: Used, record, atMs) {
          for (let i = record.attempt > 1 ? 2 : 1; i > 0; i--) real.call(this, record, atMs)
        },
    ),
  },
  {
    name: 'what an attempt used is lost with a takeover',
    seen: /has ended, and is not recorded$/,
    faults: machine((real) => {
      const adopted = new Set<string>()
      return {
        restore(job, found, now) {
          if (found.held !== null) adopted.add(job.id)
          real.restore(job, found, now)
        },
        changes: () => real.changes().filter(({ type, id }) => type !== 'used' || !adopted.delete(id)),
      }
    }),
  },
  {
    name: 'an attempt that a stopping process left behind used nothing',
    seen: /has ended, and is not recorded$/,
    faults: machine((real) => ({
      finish: (id, attempt, outcome, now) =>
        real.finish(id, attempt, outcome.kind === 'released' ? { kind: 'released' } : outcome, now),
    })),
  },
  {
    name: 'levels are forgotten by a takeover',
    seen: / has spent \d+, and \d+ is stored$/,
    faults: machine((real) => ({ openLimits: (_levels, calendar, now) => real.openLimits([], calendar, now) })),
  },
  {
    name: 'levels are stored a commit late',
    seen: / has spent \d+, and \d+ is stored$/,
    faults: machine((real) => {
      let late: readonly LevelState[] = []
      return {
        takeLevels(now) {
          const before = late
          late = real.takeLevels(now)
          return before
        },
      }
    }),
  },
  {
    name: 'what runs holds nothing after a takeover',
    seen: / of tenant \S+ run at once$/,
    faults: machine((real) => ({
      restore(job, found, now) {
        const held = found.held && { ...found.held, claim: { ...found.held.claim, reservation: null } }
        real.restore(job, { ...found, held }, now)
      },
    })),
  },
  // ---- the coordinator, and what a takeover gives it
  {
    name: 'a settle is lost',
    seen: /\d+ calls are counted of \d+$/,
    breaks: broken(Plan.prototype, 'release', (real) => {
      const skips = eachNth(5)
      return function (this: Plan, ...of) {
        if (!skips()) real.apply(this, of)
      }
    }),
  },
  {
    name: 'an adopted lease is not counted',
    seen: /\d+ calls are counted of \d+$/,
    breaks: broken(Plan.prototype, 'adopt', () => () => {}),
  },
  {
    name: 'attempts are forgotten by a takeover',
    seen: /: forgotten: |is given to/,
    faults: machine((real) => ({
      restore: (job, found, now) => real.restore(job, { ...found, tally: { ...found.tally, attempts: 0 } }, now),
    })),
  },
  {
    name: 'lanes are forgotten by a takeover',
    seen: / overtakes \S+ of its lane$/,
    faults: machine((real) => ({ restore: (job, found, now) => real.restore({ ...job, lane: null }, found, now) })),
  },
  {
    name: "a coordinator's own sleep, or deafness, is blamed on workers",
    seen: /a worker was blamed that was well$/,
    faults: { ...machine(() => ({ woke() {} })), scenario: DEAF_COORDINATOR },
  },
  {
    name: 'workers need not be heard',
    seen: /a worker was blamed that was well$/,
    from: 8,
    faults: machine(() => ({ heartbeat() {} })),
  },
  {
    name: 'a lease that is over is never noticed',
    seen: /: forgotten: /,
    faults: machine(() => ({ nextAt: () => Infinity })),
  },
]
