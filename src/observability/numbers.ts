/** Numbers that belong to no single part. */
import type { Clock } from '../core/clock.ts'
import { gauge, type NumberSource } from '../core/numbers.ts'
import type { Backlog, Operations, QueueDepth } from '../core/ports/operations.ts'

export const ownProcess: NumberSource = {
  metrics: [
    gauge('processes', 'Processes whose numbers these are', () => 1),
    gauge('rss_bytes', 'Memory of these processes', () => process.memoryUsage.rss()),
  ],
}

/** The other numbers are wanted most while the store is away. */
const DEPTH_MS = 1_000

/** All processes of a fleet report the same values, so these are not added up. */
export function depthOf(operations: Pick<Operations, 'depth' | 'backlog'>, clock: Clock): NumberSource {
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
    async refresh() {
      let inTime = (): void => {}
      const late = new Promise<never>((_, fail) => {
        inTime = clock.after(DEPTH_MS, () => fail(new Error('the store does not answer')))
      })
      const asked = Promise.all([operations.depth(), operations.backlog()])
      ;[depth, backlog] = await Promise.race([asked, late]).finally(inTime)
    },
  }
}

const tokensOf = (backlog: readonly Backlog[]): number => backlog.reduce((sum, { tokens }) => sum + tokens, 0)
const longestOf = (backlog: readonly Backlog[]): number =>
  backlog.reduce((most, { waitMs }) => Math.max(most, waitMs ?? 0), 0)
