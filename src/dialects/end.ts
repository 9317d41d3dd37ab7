/** The end record as Sluice's own clients read it. */
import { type Bytes, parseEnd, toBytes } from '../core/record.ts'
import { wireTiming, wireUsage } from '../core/wire.ts'

export function endJson(record: Bytes): Bytes {
  const { state, error, usage, timing } = parseEnd(record)
  return toBytes(
    JSON.stringify({
      state,
      ...(error && { error }),
      ...(usage && { usage: wireUsage(usage) }),
      ...(timing && { timing: wireTiming(timing) }),
    }),
  )
}
