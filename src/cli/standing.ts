/** How a tenant stands with its limits, as a table for people. */
import { durationText } from '../core/duration.ts'
import type { Unit, WireLimitUse } from '../core/limits.ts'
import { columns } from './table.ts'

/** As the server answers. */
export interface StandingInfo {
  readonly data: readonly WireLimitUse[]
  readonly near: readonly WireLimitUse[]
  readonly more: number
  readonly partial: boolean
}

const UNITS: Readonly<Record<Unit, string>> = {
  tokens: 'tokens',
  input_tokens: 'input tokens',
  output_tokens: 'output tokens',
  requests: 'requests',
  nano_dollars: 'money',
  spend_velocity: 'money an hour',
  running: 'running',
}

export function standingLines({ data, near, more, partial }: StandingInfo): string[] {
  const rows = [...data, ...near].map((use) => {
    const amount = (n: number): string => (isMoney(use) ? `$${(n / 1e9).toFixed(4)}` : String(n))
    const unit = use.window === undefined ? UNITS[use.unit] : `${UNITS[use.unit]} a ${use.window}`
    const free = use.reset_ms === 0 ? '-' : `in ${durationText(use.reset_ms)}`
    return [`${use.level} ${use.name}`, unit, amount(use.used), amount(use.held), amount(use.limit), free]
  })
  if (rows.length === 0) return ['No limits.']
  return [
    ...columns([['LIMIT OF', 'UNIT', 'USED', 'HELD', 'LIMIT', 'ALL FREE'], ...rows]),
    ...(more > 0 ? [`${more} more keys, users and runs have used half of a limit.`] : []),
    ...(partial ? ['It has more keys, users and runs than are looked at for this.'] : []),
  ]
}

const isMoney = ({ unit }: WireLimitUse): boolean => unit === 'nano_dollars' || unit === 'spend_velocity'
