/**
 * Preloaded into a server (--import): tells its heap over HTTP, on the port SLUICE_TEST_HEAP_PORT. POST: after two
 * scavenges, so that all that lives is in old space, where it keeps what it is linked to.
 */
import { createServer } from 'node:http'
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'

export interface Heap {
  /** Used bytes of all that scavenges do not look at. */
  readonly old: number
  /** Size of the young generation, both halves. */
  readonly young: number
  readonly majors: number
  readonly scavenges: number
  /** The longest scavenge, ms. */
  readonly longestMs: number
}

interface Entry {
  readonly detail: { readonly kind: number }
  readonly duration: number
}

function promote(): void {
  setFlagsFromString('--expose-gc')
  const scavenge = runInNewContext('() => gc({ type: "minor" })') as () => void
  scavenge()
  scavenge()
}

let majors = 0
let scavenges = 0
let longestMs = 0

if (isMainThread) {
  new PerformanceObserver((list) => {
    for (const { detail, duration } of list.getEntries() as unknown as Entry[]) {
      const { kind } = detail
      if (kind === constants.NODE_PERFORMANCE_GC_MAJOR) majors++
      if (kind !== constants.NODE_PERFORMANCE_GC_MINOR) continue
      scavenges++
      longestMs = Math.max(longestMs, duration)
    }
  }).observe({ entryTypes: ['gc'] })
  createServer(({ method }, response) => {
    if (method === 'POST') promote()
    const spaces = getHeapSpaceStatistics()
    const old = spaces
      .filter(({ space_name }) => !space_name.startsWith('new_'))
      .reduce((sum, { space_used_size }) => sum + space_used_size, 0)
    const young = spaces.find(({ space_name }) => space_name === 'new_space')!.space_size
    const heap: Heap = { old, young, majors, scavenges, longestMs }
    response.end(JSON.stringify(heap))
    longestMs = 0
  })
    .listen(Number(process.env['SLUICE_TEST_HEAP_PORT']), '127.0.0.1')
    .unref()
}
