/** Numbers that belong to no single part. */
import type { Clock } from '../core/clock.ts'
import { gauge, gauges, type NumberSource } from '../core/numbers.ts'
import type { Backlog, DeploymentStatus, Operations, QueueDepth } from '../core/ports/operations.ts'

export const ownProcess: NumberSource = {
  metrics: [
    gauge('processes', 'Processes whose numbers these are', () => 1),
    gauge('rss_bytes', 'Memory of these processes', () => process.memoryUsage.rss()),
  ],
}

/** The other numbers are wanted most while the store is away. */
const DEPTH_MS = 1_000

/**
 * All processes of a fleet report the same values, so these are not added up. `modelOf`: the configured name of a
 * model as clients ask for it.
 */
export function depthOf(
  operations: Pick<Operations, 'depth' | 'backlog' | 'deployments'>,
  clock: Clock,
  modelOf: (asked: string) => string,
): NumberSource {
  const waiting = gauges('backlog_jobs', 'Jobs that could start now, were there room', 'max', 'model')
  const tokens = gauges('backlog_tokens', 'Tokens of work that could start now, were there room', 'max', 'model')
  const active = gauges('deployment_calls', 'Calls of a deployment now', 'max', 'deployment')
  const limit = gauges('deployment_limit', 'Calls that it may have at once, where that is limited', 'max', 'deployment')
  const cools = gauges('deployment_cools_seconds', 'No call starts there for this long', 'max', 'deployment')
  const up = gauges('deployment_up', '1: its checks succeed; 0: they fail', 'max', 'deployment')
  const running = gauges('engine_running', 'Requests that its engine runs, whoever sent them', 'max', 'deployment')
  const queued = gauges('engine_waiting', 'Requests that wait in its engine', 'max', 'deployment')
  const failures = gauges('deployment_failures_in_row', 'Failures there without a success since', 'max', 'deployment')

  const families = [waiting, tokens, active, limit, cools, failures, up, running, queued]

  function tell(backlog: readonly Backlog[], deployments: readonly DeploymentStatus[]): void {
    for (const family of families) family.clear()
    for (const [model, pools] of Map.groupBy(backlog, ({ model }) => modelOf(model))) {
      waiting.of(model).set(pools.reduce((sum, { jobs }) => sum + jobs, 0))
      tokens.of(model).set(tokensOf(pools))
    }
    for (const { deployment, active: calls, concurrent, unwell, check } of deployments) {
      active.of(deployment).set(calls)
      if (concurrent !== Infinity) limit.of(deployment).set(concurrent)
      cools.of(deployment).set(Math.max(0, ...unwell.map(({ coolsForMs }) => coolsForMs)) / 1_000)
      failures.of(deployment).set(Math.max(0, ...unwell.map(({ failuresInRow }) => failuresInRow)))
      // What can't tell is neither
      if (check != null && (check.ok !== null || check.isDown)) up.of(deployment).set(check.isDown ? 0 : 1)
      if (check?.running != null) running.of(deployment).set(check.running)
      if (check?.waiting != null) queued.of(deployment).set(check.waiting)
    }
  }

  let depth: QueueDepth = { queued: 0, delayed: 0, waiting: 0, leased: 0 }
  let backlog: readonly Backlog[] = []
  return {
    metrics: [
      gauge('queued', 'Jobs in line', () => depth.queued, 'max'),
      gauge('delayed', 'Jobs that wait for a retry, or for their time', () => depth.delayed, 'max'),
      gauge('waiting', 'Jobs that are next, and wait for a free slot', () => depth.waiting, 'max'),
      gauge('leased', 'Jobs that run, anywhere', () => depth.leased, 'max'),
      gauge('queue_tokens', 'Tokens of work that could start now, were there room', () => tokensOf(backlog), 'max'),
      gauge(
        'expected_wait_seconds',
        'How long the slowest model needs for all that waits for it; 0 where that is not known',
        () => longestOf(backlog) / 1_000,
        'max',
      ),
    ],
    families,
    async refresh() {
      let inTime = (): void => {}
      const late = new Promise<never>((_, fail) => {
        inTime = clock.after(DEPTH_MS, () => fail(new Error('the store does not answer')))
      })
      const asked = Promise.all([operations.depth(), operations.backlog(), operations.deployments()])
      const [nowDepth, nowBacklog, deployments] = await Promise.race([asked, late]).finally(inTime)
      depth = nowDepth
      backlog = nowBacklog
      tell(backlog, deployments)
    },
  }
}

const tokensOf = (backlog: readonly Backlog[]): number => backlog.reduce((sum, { tokens }) => sum + tokens, 0)
const longestOf = (backlog: readonly Backlog[]): number =>
  backlog.reduce((most, { waitMs }) => Math.max(most, waitMs ?? 0), 0)
