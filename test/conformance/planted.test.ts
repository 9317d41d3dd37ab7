/**
 * Planted bugs: each must be caught by a case of the suites. What is not caught here would not be caught in an engine.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { job } from '../../src/coordinator/scheduler/testing/jobs.ts'
import type { JobDraft } from '../../src/core/job.ts'
import type { Change, Coordinator, PlanModel } from '../../src/core/ports/coordinator.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { LogListener, LogWriter } from '../../src/core/ports/log.ts'
import type { Lease, Work } from '../../src/core/ports/work.ts'
import { isEnd } from '../../src/core/record.ts'
import type { OpenDisk } from '../../src/engines/embedded/disk/disk.ts'
import type { Durability } from '../../src/engines/shared/durability.ts'
import { DEEP } from '../depth.ts'
import { briefCases } from './brief.ts'
import { controlCases } from './control.ts'
import { conversationCases } from './conversations.ts'
import { durabilityCases } from './durability.ts'
import { embedded as open, type Planted } from './embedded.ts'
import { type Case, type Open, type Opened, runCase, waitAtMost } from './harness.ts'
import { keyCases } from './keys.ts'
import { leaseCases } from './leases.ts'
import { ledgerCases } from './ledger.ts'
import { limitCases } from './limits.ts'
import { logCases } from './log.ts'
import { queueCases } from './queue.ts'

const cases = [
  ...queueCases,
  ...briefCases,
  ...leaseCases,
  ...controlCases,
  ...logCases,
  ...durabilityCases,
  ...conversationCases,
  ...keyCases,
  ...ledgerCases,
  ...limitCases,
]

/** What is planted is not in the disk thread. */
const embedded = (durability: Durability, planted: Planted = {}) =>
  open(durability, { ...planted, withoutThread: !DEEP })

/** The engine with one part replaced. */
const bent =
  (open: Open, bend: (engine: Engine, opened: Opened) => Partial<Engine>): Open =>
  async (settings) => {
    const wrap = (opened: Opened): Opened => ({
      ...opened,
      engine: { ...opened.engine, ...bend(opened.engine, opened) },
      reopen: async (how) => wrap(await opened.reopen(how)),
    })
    return wrap(await open(settings))
  }

/** A port's object with some of its methods replaced. */
function replaced<T extends object>(port: T, methods: Partial<T>): T {
  return new Proxy(port, {
    get(target, name) {
      const mine = methods[name as keyof T]
      const value = mine ?? target[name as keyof T]
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** A disk that claims to have synced, and has not. */
const lyingDisk =
  (real: OpenDisk): OpenDisk =>
  (path, events) => ({ ...real(path, events), sync: () => void setImmediate(() => events.synced(0, 0)) })

/** Its caller hears before the store has it: a kill at that time finds nothing. */
const ackBeforeCommit: Open = async (settings) => {
  const opened = await embedded('process')(settings)
  const before: { killed: Promise<Opened> | null } = { killed: null }
  const submit = async (drafts: readonly JobDraft[]) => {
    before.killed ??= opened.reopen('kill')
    return embeddedAnswer(settings, drafts)
  }
  return {
    ...opened,
    engine: { ...opened.engine, submissions: replaced(opened.engine.submissions, { submit }) },
    reopen: async () => (await before.killed) ?? opened.reopen('kill'),
  }
}
/** The answer that an engine would give. */
async function embeddedAnswer(settings: Parameters<Open>[0], drafts: readonly JobDraft[]) {
  const other = await embedded('memory')(settings)
  const answer = await other.engine.submissions.submit(drafts)
  await other.close()
  return answer
}

/** A worker hears of its lease before the store has it: a kill at that time finds no attempt. */
const leaseBeforeCommit: Open = async (settings) => {
  const opened = await embedded('process')(settings)
  const { work } = opened.engine
  const before = mkdtempSync(join(tmpdir(), 'sluice-planted-'))
  const attach: Work['attach'] = (worker) => {
    cpSync(opened.dir, before, { recursive: true })
    return work.attach(worker)
  }
  return {
    ...opened,
    engine: { ...opened.engine, work: replaced(work, { attach }) },
    async reopen() {
      const reopened = await embedded('process', { dir: before })(settings)
      const close = (): Promise<void> =>
        reopened.close().finally(() => rmSync(before, { recursive: true, force: true }))
      return { ...reopened, close }
    },
  }
}

/** An engine on a coordinator with some of its methods replaced. */
const coordinatedBy = (bend: (real: Coordinator) => Partial<Coordinator>): Open =>
  embedded('process', { coordinator: (real) => replaced(real, bend(real)) })

/** After each finish a call of nobody holds the slot. */
const unsettled = coordinatedBy((real) => {
  let n = 0
  return {
    finish(id, attempt, outcome, now) {
      const [status] = real.status(now).filter(({ active }) => active > 0)
      const finished = real.finish(id, attempt, outcome, now)
      if (finished.kind === 'fenced' || status === undefined) return finished
      const claim = { deployment: status.deployment, reservation: null }
      const tally = { attempts: 1, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null }
      real.restore(
        job(`ghost${++n}`),
        { tally, failedAt: [], reservation: null, held: { worker: 'ghost', claim } },
        now,
      )
      return finished
    },
  }
})

/** After each finish there is one slot more than there was. */
const settledTwice = coordinatedBy((real) => {
  let models: readonly PlanModel[] = []
  const more = ({ name, deployments }: PlanModel): PlanModel => ({
    name,
    deployments: deployments.map((one) => ({ ...one, concurrent: one.concurrent + 1 })),
  })
  return {
    configure(next, now) {
      models = next
      real.configure(next, now)
    },
    finish(id, attempt, outcome, now) {
      const finished = real.finish(id, attempt, outcome, now)
      models = models.map(more)
      if (models.length > 0) real.configure(models, now)
      return finished
    },
  }
})

const power = embedded('power')
const memory = embedded('memory')

/** `verdict`: what its case must say of it, and not fail for another reason. */
const bugs: Readonly<Record<string, { readonly open: Open; readonly verdict: RegExp; readonly caughtBy: string }>> = {
  'acknowledged before the commit': {
    open: ackBeforeCommit,
    verdict: /expected 0 to be greater than 0/,
    caughtBy: 'an acknowledged job survives, with its body, and its turn in the lane (kill)',
  },
  'acknowledged before the sync': {
    open: embedded('power', { disk: lyingDisk }),
    verdict: /expected 0 to be greater than 0/,
    caughtBy: 'an acknowledged job survives, with its body, and its turn in the lane (power)',
  },
  'an end is told before the sync': {
    open: embedded('power', { disk: lyingDisk }),
    verdict: /expected null to match object \{ state: 'done'/,
    caughtBy: 'an end that was told survives: state, answer, usage, exactly one end record (power)',
  },
  'no epoch': {
    open: bent(power, ({ log }) => ({
      log: replaced(log, { commonWith: async (job) => (await log.read(job, 0, 0))?.head ?? 0 }),
    })),
    verdict: /expected \d+ to be \d+/,
    caughtBy: 'a cursor of before a power loss holds as far as the log was kept, whatever is written there later',
  },
  'no fence in the log': {
    open: bent(memory, ({ log }) => {
      const writers = new Map<string, LogWriter>()
      return {
        log: replaced(log, {
          open(lease: Lease) {
            try {
              writers.set(lease.job.id, log.open(lease))
            } catch (error) {
              if (!writers.has(lease.job.id)) throw error
            }
            return replaced(writers.get(lease.job.id)!, {
              append: (...args) => writers.get(lease.job.id)!.append(...args),
            })
          },
        }),
      }
    }),
    verdict: /expected \[Function\] to throw an error/,
    caughtBy: 'fence: a lease that ran out can write nothing more (J2)',
  },
  'no fence in finish': {
    open: bent(memory, ({ work }) => {
      const newest = new Map<string, Lease>()
      return {
        work: replaced(work, {
          attach: (worker) =>
            work.attach(
              replaced(worker, {
                leased(leases) {
                  for (const lease of leases) newest.set(lease.job.id, lease)
                  worker.leased(leases)
                },
              }),
            ),
          finish: (lease, outcome) => work.finish(newest.get(lease.job.id) ?? lease, outcome),
        }),
      }
    }),
    verdict: /expected 'ended' to be 'fenced'/,
    caughtBy: 'fence: a lease that ran out can write nothing more (J2)',
  },
  'the terminal record is lost': {
    open: bent(memory, ({ log }) => ({
      log: replaced(log, {
        async read(job, afterSeq, maxBytes) {
          const page = await log.read(job, afterSeq, maxBytes)
          return page === null
            ? null
            : {
                ...page,
                records: page.records.filter((r) => !isEnd(r)),
                head: page.ended ? page.head - 1 : page.head,
                ended: false,
              }
        },
      }),
    })),
    verdict: /expected false to be true/,
    caughtBy: 'done: state, usage, timing and times are stored; the end record is the last, and the only one',
  },
  'two terminal records': {
    open: bent(memory, ({ log }) => ({
      log: replaced(log, {
        async read(job, afterSeq, maxBytes) {
          const page = await log.read(job, afterSeq, maxBytes)
          const end = page?.records.find(isEnd)
          return page === null || end === undefined
            ? page
            : { ...page, records: [...page.records, end], head: page.head + 1 }
        },
      }),
    })),
    verdict: /expected 2 to be 1/,
    caughtBy: 'finishing twice is fenced, at the same time or later, with any outcome: one end',
  },
  'a follower misses a run': {
    open: bent(memory, ({ log }) => ({
      log: replaced(log, {
        follow(job, listener) {
          let n = 0
          return log.follow(job, (...run) => void (++n % 3 === 2 || listener(...run)))
        },
      }),
    })),
    verdict: /expected \[ …\(\d+\) \] to deeply equal \[ …\(50\) \]/,
    caughtBy: 'followers get each run once, in order, what they get is readable, and all of them in the same turn',
  },
  'readers are told before the commit': {
    open: bent(memory, ({ log }) => {
      const listeners = new Set<LogListener>()
      return {
        log: replaced(log, {
          follow(_job, listener) {
            listeners.add(listener)
            return { ready: Promise.resolve(null), stop: () => void listeners.delete(listener) }
          },
          open(lease) {
            const writer = log.open(lease)
            let seq = writer.head
            return replaced(writer, {
              append(records, tokens, urgent) {
                for (const listener of listeners) listener(seq + 1, records, writer.epoch)
                seq += records.length
                writer.append(records, tokens, urgent)
              },
            })
          },
        }),
      }
    }),
    verdict: /expected \[ …\(4\) \] to deeply equal \[ …\(3\) \]/,
    caughtBy: 'what was taken before finish is stored before the end; nothing is stored behind it',
  },
  'idempotency keys are forgotten': {
    open: bent(memory, ({ submissions }) => ({
      submissions: replaced(submissions, {
        submit: (drafts) =>
          submissions.submit(drafts.map((d) => ({ ...d, options: { ...d.options, idempotencyKey: undefined! } }))),
      }),
    })),
    verdict: /kind: 'accepted'.* to match object \{ kind: 'joined'/,
    caughtBy:
      'idempotency: same key and body is the same job, also in parallel and when it has ended; another body is ' +
      'refused with 422; tenants do not meet (J4)',
  },
  'a lost wake-up': {
    open: bent(memory, ({ work }) => ({
      work: replaced(work, {
        attach: (worker) => ({ ...work.attach(worker), resize: () => {} }),
      }),
    })),
    verdict: /expected 0 to be greater than 0/,
    caughtBy: 'workers are given work of their pools as it comes, and only that',
  },
  'a revocation is lost': {
    open: bent(memory, ({ work }) => ({
      work: replaced(work, {
        attach: (worker) => work.attach(replaced(worker, { revoked: () => {} })),
      }),
    })),
    verdict: /expected \[\] to deeply equal \[ \{/,
    caughtBy:
      'cancel of a running job revokes it; it ends when its worker answers, as canceled even if it failed; ' +
      'done stays done',
  },
  'a worker is told of a lease before it is committed': {
    open: leaseBeforeCommit,
    verdict: /to match object \{ attempt: 2 \}/,
    caughtBy: 'a worker is told of a lease that is committed: a kill finds its attempt',
  },
  'a claim is not settled': {
    open: unsettled,
    verdict: /expected \+?0 to be 1/,
    caughtBy: 'what a lease claimed is free again, once: handed back',
  },
  'a claim is settled twice': {
    open: settledTwice,
    verdict: /expected 2 to be 1/,
    caughtBy: 'what a lease claimed is free again, once: done',
  },
  'any deployment is taken for any kind': {
    open: coordinatedBy((real) => ({
      configure: (models, now) =>
        real.configure(
          models.map(({ name, deployments }) => ({
            name,
            deployments: deployments.map((one) => ({ ...one, kinds: ['chat', 'embedding'] })),
          })),
          now,
        ),
    })),
    verdict: /expected \[ …\(2\) \] to deeply equal \[ 'job_/,
    caughtBy: 'one kind without a deployment waits, and does not hold back the other',
  },
  'a restart forgets where a job failed': {
    open: coordinatedBy((real) => ({
      restore: (job, found, now) => real.restore(job, { ...found, failedAt: [] }, now),
    })),
    verdict: /to match object \{ attempt: 2, ttftMs: 1234/,
    caughtBy: 'where a job failed, and when it first showed text, outlives the process',
  },
  'a deadline is forgotten once a job was leased': {
    open: coordinatedBy((real) => ({
      submit: (job, now, ...rest) => real.submit({ ...job, deadlineMono: Infinity }, now, ...rest),
    })),
    verdict: /expected 'queued' to be 'expired'/,
    caughtBy: 'a job that was handed back expires at its deadline, as any other in line; text or not',
  },
  'a reader that leaves is not missed': {
    open: bent(memory, ({ presence }) => ({ presence: replaced(presence, { enter: () => () => {} }) })),
    verdict: /expected \+?0 to be 1/,
    caughtBy: 'S2: a job that its last reader left is canceled after the grace, unless one comes back or has it all',
  },
  'a ticket is good as long as it lives': {
    open: bent(memory, ({ tickets }) => ({
      tickets: replaced(tickets, {
        async redeem(ticket) {
          const session = await tickets.redeem(ticket)
          if (session !== null) await tickets.issue(ticket, session, 30_000)
          return session
        },
      }),
    })),
    verdict: /expected \{ id: 's'.* to be null/,
    caughtBy: 'a ticket is good once, in time, and stands for its session',
  },
  'places are told to whoever has stopped': {
    open: bent(memory, ({ jobs }) => ({
      jobs: replaced(jobs, {
        watchPlace(id, listener) {
          jobs.watchPlace(id, listener)
          return () => {}
        },
      }),
    })),
    verdict: /expected 3 to be 2/,
    caughtBy: 'places of many are asked for at once; a watched one is told when it changes',
  },
  'lanes are not kept': {
    open: bent(memory, ({ submissions }) => ({
      submissions: replaced(submissions, {
        submit: (drafts) =>
          submissions.submit(drafts.map((d) => ({ ...d, options: { ...d.options, lane: undefined! } }))),
      }),
    })),
    verdict: /expected \[ …\(4\) \] to deeply equal \[ …\(2\) \]/,
    caughtBy: 'a lane is strict: in order, one at a time, also through retries; lanes of two tenants are two (J3)',
  },
  'pauses are forgotten': {
    open: bent(power, ({ operations }) => ({ operations: replaced(operations, { pause: async () => {} }) })),
    verdict: /expected \[\] to deeply equal \[ \{ model: 'm' \} \]/,
    caughtBy: 'pauses survive, and so do their ends (kill)',
  },
  'a page of turns begins anew each time': {
    open: bent(memory, ({ conversations }) => ({
      conversations: replaced(conversations, {
        turns: (tenant, id, { beyond: _beyond, ...range }) => conversations.turns(tenant, id, range),
      }),
    })),
    verdict: /expected \[ \[ …\(2\) \], true \] to deeply equal/,
    caughtBy: 'turns come in pages, from either end, by count and by bytes',
  },
  'pages of turns know no bytes': {
    open: bent(memory, ({ conversations }) => ({
      conversations: replaced(conversations, {
        turns: (tenant, id, range) => conversations.turns(tenant, id, { ...range, maxBytes: 1 << 30 }),
      }),
    })),
    verdict: /expected \[ \[ …\(5\) \], false \] to deeply equal \[ \[ …\(2\) \], true \]/,
    caughtBy: 'turns come in pages, from either end, by count and by bytes',
  },
  'lists show other name spaces': {
    open: bent(memory, ({ conversations }) => ({
      conversations: replaced(conversations, {
        list: (tenant, { scope: _scope, ...range }) => conversations.list(tenant, range),
      }),
    })),
    verdict: /'v'.* to deeply equal \[ \[ 'ann\/é' \]/,
    caughtBy: 'the list comes in pages, the newest turn first',
  },
  'instructions outlive their erasure': {
    open: bent(memory, ({ conversations }) => {
      let first: string | null = null
      return {
        conversations: replaced(conversations, {
          instructions: async (tenant, id) => (first ??= await conversations.instructions(tenant, id)),
        }),
      }
    }),
    verdict: /expected \[ \{ role: 'system'.* to be null/,
    caughtBy: 'the instructions that a conversation began with are kept apart, as long as their turn is not erased',
  },
  'what an attempt used is not booked': {
    open: coordinatedBy((real) => ({ changes: () => real.changes().filter(({ type }) => type !== 'used') })),
    verdict: /to deeply equal \[/,
    caughtBy: 'each attempt once: one that failed, one handed back, one canceled; none that never called',
  },
  'what an attempt used is booked twice': {
    open: coordinatedBy((real) => ({
      changes: () =>
        real.changes().flatMap((change): readonly Change[] => (change.type === 'used' ? [change, change] : [change])),
    })),
    verdict: /to deeply equal \[/,
    caughtBy: 'each attempt once: one that failed, one handed back, one canceled; none that never called',
  },
  'an attempt that died with its process is not booked': {
    open: coordinatedBy((real) => ({
      changes: () => real.changes().filter((change) => change.type !== 'used' || change.record.end !== 'lost'),
    })),
    verdict: /to match object|to deeply equal/,
    caughtBy: 'what was told as ended is booked, over a kill; what ran is booked once, by what its log has',
  },
  'what is used of limits is not stored': {
    open: coordinatedBy(() => ({ takeLevels: () => [] })),
    verdict: /expected \[ 98\d0, .* to deeply equal \[ 9670, /,
    caughtBy: 'what was used is used over a kill, exactly; what waits holds what it held',
  },
  'levels are not restored': {
    open: coordinatedBy((real) => ({ openLimits: (_levels, calendar, now) => real.openLimits([], calendar, now) })),
    verdict: /expected \[ 9820, .* to deeply equal \[ 9670, /,
    caughtBy: 'what was used is used over a kill, exactly; what waits holds what it held',
  },
  'each user has a sum of its own, however many there are': {
    open: ({ usageSums: _, ...settings } = {}) => power(settings),
    verdict: /expected \d+ to be 10/,
    caughtBy:
      'a tenant begins so many sums in a day: later users are summed together, then later models, and none is lost',
  },
  'what an erased tenant used stays in memory': {
    open: coordinatedBy(() => ({ forgetTenant: () => {} })),
    verdict: /expected 400 to be 1000/,
    caughtBy: 'an erased tenant has used nothing, now and after a restart, whatever others do next',
  },
  'a breaker that has tripped is not stored': {
    open: coordinatedBy((real) => ({
      takeLevels: (now) =>
        real.takeLevels(now).map(({ used, ...level }) => {
          const { velocity: _left, ...amounts } = used ?? {}
          return { ...level, used: used === null ? null : (amounts as typeof used) }
        }),
    })),
    verdict: /not refused but accepted/,
    caughtBy: 'a breaker that has tripped is found so after a restart, and cools down meanwhile',
  },
  'a restart forgets what who waits holds': {
    open: coordinatedBy((real) => ({
      restore: (job, found, now) => real.restore(job, { ...found, reservation: null }, now),
    })),
    verdict: /expected \[ 98\d0, .* to deeply equal \[ 9670, /,
    caughtBy: 'what was used is used over a kill, exactly; what waits holds what it held',
  },
  'a restart holds again what was returned': {
    open: coordinatedBy((real) => ({
      restore: (job, found, now) =>
        real.restore(
          job,
          { ...found, reservation: { inputTokens: 400, outputTokens: 10, requests: 1, nanoDollars: 0 } },
          now,
        ),
    })),
    verdict: /expected 590 to be 1000/,
    caughtBy: 'what was returned holds nothing until its next lease, over a kill too',
  },
  'budgets go by the wall clock': {
    open: (settings) => {
      const clock: { wallMs?: () => number } = {}
      const open = coordinatedBy((real) => ({
        openLimits: (levels, _calendar, now) =>
          real.openLimits(
            levels,
            (_window, at) => {
              const wall = clock.wallMs!()
              const index = Math.floor(wall / 86_400_000)
              return { index, endsMono: Math.min(at + 1, at + (index + 1) * 86_400_000 - wall) }
            },
            now,
          ),
      }))
      clock.wallMs = () => opened?.clock.wallMs() ?? Date.now()
      let opened: Opened | null = null
      return open(settings).then((it) => {
        opened = it
        return it
      })
    },
    verdict: /expected 1000000 to be 100000/,
    caughtBy: 'a budget is spent over a restart, and the window is the same (the clock jumps 30 h)',
  },
  'an erased tenant leaves its usage': {
    open: bent(memory, (engine) => ({
      eraseTenant: async (tenant) => {
        const { ledger } = engine
        const kept = { ...(await ledger.sums({ tenant }, null, 3)), next: null }
        await engine.eraseTenant(tenant)
        Object.assign(ledger, { sums: async () => kept })
      },
    })),
    verdict: /to deeply equal \[ 'globex' \]/,
    caughtBy: 'a tenant is erased with what it used, and no other',
  },
  'pages of sums begin anew with each day': {
    open: bent(memory, ({ ledger }) => ({
      ledger: replaced(ledger, {
        sums: async (filter, after, most) => {
          const page = await ledger.sums(filter, after, most)
          return after === null ? page : { ...page, items: page.items.slice(1) }
        },
      }),
    })),
    verdict: /expected \d+ to be 9|to deeply equal/,
    caughtBy: 'sums are exact: by day, tenant, key, user and model, in this order, whatever users are called',
  },
  'tenants share conversations': {
    open: bent(memory, ({ conversations }) => ({
      conversations: replaced(conversations, { get: (_tenant, id) => conversations.get('a', id) }),
    })),
    verdict: /expected true to be false/,
    caughtBy: 'tenants do not meet: the same id is two conversations (T1)',
  },
}

beforeAll(() => waitAtMost(6_000))

// Beside each other: some are caught by what never comes, and is waited for
for (const [bug, { open, verdict, caughtBy }] of Object.entries(bugs))
  test.concurrent(`planted: ${bug}`, async () => {
    const one = cases.find((c) => c.name === caughtBy) as Case
    expect(one, caughtBy).toBeDefined()
    await expect(runCase(one, open)).rejects.toThrow(verdict)
  })

test('the names of cases are unique', () => {
  expect(new Set(cases.map((c) => c.name)).size).toBe(cases.length)
})
