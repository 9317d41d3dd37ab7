/** The end record as Sluice's own clients read it. */
import { wireLimit } from '../core/limits.ts'
import { type Bytes, parseEnd, toBytes } from '../core/record.ts'
import { wireTiming, wireUsage } from '../core/wire.ts'

export function endJson(record: Bytes): Bytes {
  const { state, error, cut, usage, timing } = parseEnd(record)
  return toBytes(
    JSON.stringify({
      state,
      ...(error && { error }),
      ...(cut && { cut: wireLimit(cut) }),
      ...(usage && { usage: wireUsage(usage) }),
      ...(timing && { timing: wireTiming(timing) }),
    }),
  )
}
