/**
 * How large V8's young generation may become. It would grow to 128 MB, of which a server has no gain: what lives for
 * longer than a few scavenges of 32 MB lives as long as its stream does (docs/decisions/0026).
 */
import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Both halves. */
const ENOUGH_BYTES = 32 << 20

/** An operator's own setting holds. */
const isSet = (args: readonly string[]): boolean =>
  args.some((arg) => arg.includes('semi-space') || arg.includes('semi_space'))

/**
 * V8 has no setting for it that can be made while it runs, but one for how it grows. It doubles with a collection, so
 * each is looked at: a load that begins doubles it three times in a quarter of a second.
 */
export function boundYoungGeneration(args: readonly string[]): void {
  if (isSet(args)) return
  const collections = new PerformanceObserver(() => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
    if (young !== undefined && young.space_size < ENOUGH_BYTES) return
    setFlagsFromString('--semi-space-growth-factor=1')
    collections.disconnect()
  })
  collections.observe({ entryTypes: ['gc'] })
}
