/** The scheduler against the plain one, and against its promises, over random commands. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { depth } from '../../../test/depth.ts'
import type { Scheduler, SchedulerEvent } from './port.ts'
import { createScheduler } from './scheduler.ts'
import { watch } from './testing/checker.ts'
import { Reference } from './testing/reference.ts'
import { type Command, commands, WALK_OPTIONS, Walker } from './testing/walk.ts'

it('does what the plain scheduler does: answers, order of asking, events, states, times', () => {
  fc.assert(
    fc.property(commands, (walk) => {
      const real = createScheduler(WALK_OPTIONS)
      const plain = new Reference(WALK_OPTIONS)
      const [a, b] = [new Walker(), new Walker()]
      for (const [step, command] of walk.entries()) {
        const before = ['text', 'image'].map((pool) => new Set(plain.leasable(pool)))
        const where = `step ${step}: ${command.what}`
        expect(a.apply(command, real), where).toEqual(b.apply(command, plain as unknown as Scheduler))
        const events = real.drain()
        const said = events.filter((event) => event.type !== 'ready').map(comparable)
        expect(said, where).toEqual(plain.drain().map(comparable))
        // Whatever became leasable was announced
        const ready = events.flatMap((event) => (event.type === 'ready' ? [event.pool] : []))
        expect(new Set(ready).size, where).toBe(ready.length)
        for (const [i, pool] of ['text', 'image'].entries())
          if (plain.leasable(pool).some((id) => !before[i].has(id))) expect(ready, where).toContain(pool)
        expect(real.depth(), where).toEqual(plain.depth())
        expect(real.nextAt(), where).toBe(plain.nextAt())
        for (const id of a.submitted) expect(real.state(id), `${where}, ${id}`).toBe(plain.state(id))
      }
    }),
    { numRuns: depth(200, 50) },
  )
})

const comparable = (event: object): unknown =>
  'error' in event ? { ...event, error: (event.error as { code: string }).code } : event

/** A walk with workers that sleep until told; what was promised and not kept. */
function violationsOf(make: () => Scheduler, walk: readonly Command[]): readonly string[] {
  const { scheduler, violations, drainPool } = watch(make(), WALK_OPTIONS.leaseMs)
  const walker = new Walker()
  for (const [step, command] of walk.entries()) {
    walker.apply(command, scheduler)
    scheduler.drain()
    if (step % 10 === 9) {
      drainPool('text', walker.now)
      drainPool('image', walker.now)
    }
    if (violations.length > 0) break
  }
  return violations
}

it('keeps its promises', () => {
  fc.assert(
    fc.property(commands, (walk) => {
      expect(violationsOf(() => createScheduler(WALK_OPTIONS), walk)).toEqual([])
    }),
    { numRuns: depth(200, 50) },
  )
})

// ------------------------------------------------------------ planted bugs, which the checker must see

type Plant = (scheduler: Scheduler) => Partial<Scheduler>

const PLANTED: Readonly<Record<string, { readonly says: RegExp; readonly bug: Plant }>> = {
  'two active in a lane': {
    says: /two active in lane/,
    bug: (s) => ({ submit: (job, ...rest) => s.submit({ ...job, lane: null }, ...rest) }),
  },
  'no fence': {
    says: /^finish of .*: (ended|again)/m,
    bug: (s) => {
      const latest = new Map<string, number>()
      return {
        lease: (...args) => {
          const leases = s.lease(...args)
          for (const { id, attempt } of leases) latest.set(id, attempt)
          return leases
        },
        finish: (id, _attempt, outcome, now) => s.finish(id, latest.get(id) ?? 0, outcome, now),
      }
    },
  },
  'lost wakeup': {
    says: /nobody was told/,
    bug: (s) => {
      let afterFinish = false
      return {
        finish: (...args) => {
          afterFinish = true
          return s.finish(...args)
        },
        drain: () => {
          const events = s.drain()
          const dropped = afterFinish
          afterFinish = false
          return dropped ? events.filter((event) => event.type !== 'ready') : events
        },
      }
    },
  },
  'a retry goes to the end of its lane': {
    says: /overtook in lane/,
    bug: (s) => {
      const jobs = new Map<string, Parameters<Scheduler['submit']>[0]>()
      return {
        submit: (job, ...rest) => {
          jobs.set(job.id, job)
          return s.submit(job, ...rest)
        },
        finish: (id, attempt, outcome, now) => {
          const finished = s.finish(id, attempt, outcome, now)
          const again = jobs.get(id)
          if (finished.kind !== 'again' || again === undefined) return finished
          s.withdraw(id)
          s.restore(
            { ...again, notBeforeMono: finished.notBeforeMono },
            { attempts: attempt, fails: 0, deaths: 0, crashes: 0, ranMs: 0, ttftMs: null },
            now,
          )
          return finished
        },
      }
    },
  },
  'a worker dies and its jobs with it': { says: /a worker that is gone/, bug: () => ({ lose: () => {} }) },
  'leases never run out': {
    says: /was not given back/,
    bug: (s) => ({
      tick: (now) => {
        for (const worker of ['w1', 'w2', 'w3']) s.heartbeat(worker, now)
        s.tick(now)
      },
    }),
  },
  'two ends': {
    says: /ended twice/,
    bug: (s) => ({
      drain: () => s.drain().flatMap((event): SchedulerEvent[] => (event.type === 'ended' ? [event, event] : [event])),
    }),
  },
  'attempts start anew': {
    says: /attempt 1 after/,
    bug: (s) => ({ lease: (...args) => s.lease(...args).map((lease) => ({ ...lease, attempt: 1 })) }),
  },
}

/** A scheduler that is the given one, but for what is planted. */
function plant(bug: Plant): Scheduler {
  const sound = createScheduler(WALK_OPTIONS)
  const planted = bug(sound)
  return new Proxy(sound, {
    get: (_, name) =>
      Reflect.get(planted, name) ?? (Reflect.get(sound, name) as (...args: unknown[]) => unknown).bind(sound),
  })
}

it.each(Object.entries(PLANTED))('sees a planted bug: %s', (_name, { says, bug }) => {
  const walks = fc.sample(commands, { numRuns: 200, seed: 1 })
  expect(walks.flatMap((walk) => violationsOf(() => plant(bug), walk)).join('\n')).toMatch(says)
})
