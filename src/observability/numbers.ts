/** Numbers that belong to no single part. */
import { gauge, type NumberSource } from '../core/numbers.ts'
import type { Operations, QueueDepth } from '../core/ports/operations.ts'

export const ownProcess: NumberSource = {
  metrics: [
    gauge('processes', 'Processes whose numbers these are', () => 1),
    gauge('rss_bytes', 'Memory of these processes', () => process.memoryUsage.rss()),
  ],
}

/** All processes of a fleet report the same values, so these are not added up. */
export function depthOf(operations: Pick<Operations, 'depth'>): NumberSource {
  let depth: QueueDepth = { queued: 0, delayed: 0, waiting: 0, leased: 0 }
  return {
    metrics: [
      gauge('queued', 'Jobs in line', () => depth.queued, 'max'),
      gauge('delayed', 'Jobs that wait for a retry, or for their time', () => depth.delayed, 'max'),
      gauge('waiting', 'Jobs that are next, and wait for a free slot', () => depth.waiting, 'max'),
      gauge('leased', 'Jobs that run, anywhere', () => depth.leased, 'max'),
    ],
    async refresh() {
      depth = await operations.depth()
    },
  }
}
