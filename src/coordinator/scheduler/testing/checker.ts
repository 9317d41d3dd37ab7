/**
 * Watches a scheduler from outside and notes each broken promise: what must hold of any scheduler, whatever its order.
 * `watch` gives back a scheduler that is the given one, looked at.
 */
import type { JobId } from '../../../core/job.ts'
import type { ScheduledJob } from '../../../core/ports/coordinator.ts'
import type { Headroom, Scheduler, SchedulerEvent } from '../port.ts'

interface Seen {
  readonly job: ScheduledJob
  readonly seq: number
  attempt: number
  /** Null = not leased. Until when, at the earliest, it must have been given back. */
  lease: { readonly worker: string; readonly at: number } | null
}

export interface Watched {
  readonly scheduler: Scheduler
  readonly violations: readonly string[]
  /**
   * The worker sleeps until `ready`: then it leases all it may, and reports jobs that became leasable without one.
   * Headroom for all.
   */
  drainPool(pool: string, now: number): void
}

export function watch(scheduler: Scheduler, leaseMs: number): Watched {
  const violations: string[] = []
  const complain = (text: string): void => void violations.push(text)
  const live = new Map<JobId, Seen>()
  const endedOnce = new Set<JobId>()
  const beats = new Map<string, number>()
  const told = new Set<string>()
  const pending: SchedulerEvent[] = []
  let seq = 0

  const lane = (job: ScheduledJob): Seen[] => [...live.values()].filter((seen) => seen.job.lane === job.lane)
  const end = (id: JobId, how: string): void => {
    if (endedOnce.has(id)) complain(`${id} ended twice (${how})`)
    else if (!live.delete(id)) complain(`${id} ended and was not there (${how})`)
    endedOnce.add(id)
  }
  const add = (job: ScheduledJob, attempt: number): void => {
    live.set(job.id, { job, seq: ++seq, attempt, lease: null })
  }

  /** After each call: events are taken, counts compared. */
  function settle(): void {
    for (const event of scheduler.drain()) {
      pending.push(event)
      if (event.type === 'ready') told.add(event.pool)
      else if (event.type === 'ended') end(event.id, event.state)
      else if (event.type === 'delayed') {
        const seen = live.get(event.id)
        if (seen !== undefined) seen.lease = null
      }
    }
    const depth = scheduler.depth()
    const leased = [...live.values()].filter((seen) => seen.lease !== null).length
    if (depth.leased !== leased) complain(`depth says ${depth.leased} leased, ${leased} are`)
    if (depth.queued + depth.delayed + depth.waiting + depth.leased !== live.size)
      complain(`depth says ${JSON.stringify(depth)}, ${live.size} are live`)
    for (const { job } of live.values()) if (scheduler.state(job.id) === null) complain(`${job.id} is lost`)
  }

  function lease(
    worker: string,
    pools: readonly string[],
    max: number,
    headroom: Headroom,
    now: number,
  ): ReturnType<Scheduler['lease']> {
    let refused = false
    const consented: JobId[] = []
    const leases = scheduler.lease(
      worker,
      pools,
      max,
      (job, notes) => {
        const answer = headroom(job, notes)
        if (answer === null) consented.push(job.id)
        else refused = true
        return answer
      },
      now,
    )
    if (leases.map(({ id }) => id).join() !== consented.join())
      complain(`slots taken for ${consented}, leased ${leases.map(({ id }) => id)}`)
    // What the call itself found to be due
    for (const event of scheduler.drain()) {
      pending.push(event)
      if (event.type === 'ended') end(event.id, event.state)
      else if (event.type === 'ready') told.add(event.pool)
      else if (event.type === 'delayed') live.get(event.id)!.lease = null
    }
    for (const { id, attempt } of leases) {
      const seen = live.get(id)
      if (seen === undefined) {
        complain(`${id} was leased and is not there`)
        continue
      }
      const { job } = seen
      if (seen.lease !== null) complain(`${id} was leased twice`)
      if (attempt <= seen.attempt) complain(`${id}: attempt ${attempt} after ${seen.attempt}`)
      if (pools.length > 0 && !pools.includes(job.pool)) complain(`${id} of pool ${job.pool} leased for ${pools}`)
      if (job.notBeforeMono > now) complain(`${id} was leased before its time`)
      if (seen.attempt === 0 && job.deadlineMono <= now) complain(`${id} was leased after its deadline`)
      if (
        scheduler
          .paused()
          .some(
            (s) =>
              (s.tenant ?? job.tenant) === job.tenant &&
              (s.lane ?? job.lane) === job.lane &&
              (s.model ?? job.model) === job.model,
          )
      )
        complain(`${id} is paused and was leased`)
      if (job.lane !== null && lane(job).some((other) => other.lease !== null))
        complain(`two active in lane ${job.lane}: ${id}`)
      if (job.lane !== null && lane(job).some((other) => other.seq < seen.seq))
        complain(`${id} overtook in lane ${job.lane}`)
      if (!told.has(job.pool)) complain(`nobody was told of ${id}`)
      seen.attempt = attempt
      seen.lease = { worker, at: now }
    }
    if (!refused && leases.length < max) {
      if (pools.length === 0) told.clear()
      for (const pool of pools) told.delete(pool)
    }
    settle()
    return leases
  }

  /** Does `fn`, then looks. */
  const then = <T>(result: T): T => {
    settle()
    return result
  }

  const watched: Scheduler = {
    submit(job, now, known, isRetry) {
      const result = scheduler.submit(job, now, known, isRetry)
      if (result.kind === 'accepted') add(job, 0)
      return then(result)
    },
    withdraw(id) {
      scheduler.withdraw(id)
      live.delete(id)
      settle()
    },
    restore(job, tally, now) {
      add(job, tally.attempts)
      then(scheduler.restore(job, tally, now))
    },
    regroup: (id, now) => then(scheduler.regroup(id, now)),
    freed: (accounts) => then(scheduler.freed(accounts)),
    limitsChanged: (now) => then(scheduler.limitsChanged(now)),
    adopt: (id, worker, now) => then(scheduler.adopt(id, worker, now)),
    died: (ids, now) => then(scheduler.died(ids, now)),
    lease,
    heartbeat(worker, now) {
      beats.set(worker, now)
      then(scheduler.heartbeat(worker, now))
    },
    charge: (id, attempt, tokens) => then(scheduler.charge(id, attempt, tokens)),
    finish(id, attempt, outcome, now) {
      const result = scheduler.finish(id, attempt, outcome, now)
      const seen = live.get(id)
      const ours = seen !== undefined && seen.lease !== null && seen.attempt === attempt
      if (ours === (result.kind === 'fenced')) complain(`finish of ${id}, attempt ${attempt}: ${result.kind}`)
      if (result.kind === 'ended') end(id, result.state)
      else if (result.kind === 'again' && seen !== undefined) seen.lease = null
      return then(result)
    },
    cancel: (id, now) => then(scheduler.cancel(id, now)),
    fail: (id, error, now) => then(scheduler.fail(id, error, now)),
    lose(worker, now) {
      scheduler.lose(worker, now)
      settle()
      for (const seen of live.values())
        if (seen.lease?.worker === worker) complain(`${seen.job.id} is held by a worker that is gone`)
    },
    woke(now) {
      for (const seen of live.values()) if (seen.lease !== null) beats.set(seen.lease.worker, now)
      then(scheduler.woke(now))
    },
    tick(now) {
      scheduler.tick(now)
      settle()
      for (const { job, lease: held } of live.values()) {
        if (held !== null && Math.max(held.at, beats.get(held.worker) ?? 0) + leaseMs <= now)
          complain(`the lease of ${job.id} ran out and was not given back`)
      }
      if (scheduler.nextAt() <= now) complain('tick left something due')
    },
    nextAt: () => scheduler.nextAt(),
    pause: (selector) => then(scheduler.pause(selector)),
    resume: (selector) => then(scheduler.resume(selector)),
    paused: () => scheduler.paused(),
    purge: (selector, now) => then(scheduler.purge(selector, now)),
    place: (id, now) => scheduler.place(id, now),
    state: (id) => scheduler.state(id),
    tally: (id) => scheduler.tally(id),
    notes: (id) => scheduler.notes(id),
    depth: () => scheduler.depth(),
    backlog: () => scheduler.backlog(),
    view: () => scheduler.view(),
    drain: () => pending.splice(0),
  }
  return {
    scheduler: watched,
    violations,
    drainPool: (pool, now) => void lease(`sleeper of ${pool}`, [pool], 1_000, () => null, now),
  }
}
