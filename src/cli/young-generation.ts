/**
 * How large V8's young generation may become. It would grow to 128 MB, of which a server has no gain: what lives for
 * longer than a few scavenges of 32 MB lives as long as its stream does (docs/decisions/0026).
 */
import { subscribe } from 'node:diagnostics_channel'
import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Both halves. */
const ENOUGH_BYTES = 32 << 20
/** Looking takes some microseconds, so it is done at each request only where two doublings more would be too many. */
const REQUESTS_A_LOOK = 8

/** An operator's own setting holds. */
const isSet = (args: readonly string[]): boolean =>
  args.some((arg) => arg.includes('semi-space') || arg.includes('semi_space'))

/**
 * V8 has no setting for it that can be made while it runs, but one for how it grows. It doubles with a collection, so
 * each is looked at: a load that begins doubles it three times in a quarter of a second. But Node tells of a collection
 * two turns of the loop later, and a turn that takes in a thousand requests doubles it as often: so while it can still
 * grow, it is looked at between requests too. When a server is idle, V8 takes it back to 1 MB: then it must be able to
 * grow again.
 */
export function boundYoungGeneration(args: readonly string[]): void {
  if (isSet(args)) return
  let grows = true
  let isNear = false
  let requests = 0
  const look = (): void => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')
    // Doubled it must not exceed it: it is no power of two where V8 has shrunk it
    const isSmall = young !== undefined && 2 * young.space_size <= ENOUGH_BYTES
    isNear = young !== undefined && 4 * young.space_size > ENOUGH_BYTES / 2
    if (isSmall === grows) return
    grows = isSmall
    setFlagsFromString(`--semi-space-growth-factor=${grows ? 2 : 1}`)
  }
  new PerformanceObserver(look).observe({ entryTypes: ['gc'] })
  subscribe('http.server.request.start', () => {
    if (grows && (isNear || ++requests % REQUESTS_A_LOOK === 0)) look()
  })
}
