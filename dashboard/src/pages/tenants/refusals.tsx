/** What a tenant was refused of late: by which limit, how often, and what it was told. */
import type { ErrorCode } from '../../../../src/core/errors.ts'
import type { LevelKind, Unit } from '../../../../src/core/limits.ts'
import { age, count } from '../../format.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Panel } from '../../parts/panel.tsx'
import { serverNow } from '../../socket.ts'
import { LEVELS, UNITS } from './words.ts'

interface Refusal {
  readonly code: ErrorCode
  readonly status: number
  readonly message: string
  readonly limit: { readonly level: LevelKind; readonly unit: Unit } | null
  readonly last_hour: number
  readonly last_day: number
  readonly last_at_ms: number
  readonly last_key: string | null
}

const AGAIN_MS = 10_000
const DAY_MS = 86_400_000

export function Refusals({ tenant }: { readonly tenant: string }) {
  const path = `/admin/tenants/${encodeURIComponent(tenant)}/refusals`
  const refusals = useLoad<{ readonly data: readonly Refusal[]; readonly since_ms: number }>(path, AGAIN_MS)
  const { data = [], since_ms: sinceMs = 0 } = refusals.data ?? {}
  const now = serverNow()
  const isWholeDay = now - sinceMs >= DAY_MS
  return (
    <Panel title="Refused" sub="last hour, and day; what they were told">
      {refusals.error !== null && <Trouble error={refusals.error} />}
      {refusals.data !== null && data.length === 0 && <p class="muted">Nothing was refused.</p>}
      <ul class="limits">
        {data.map((one) => (
          <li key={`${one.code} ${one.limit?.level} ${one.limit?.unit}`} class="refusal">
            <span title={one.message}>
              {one.limit === null
                ? one.code.replaceAll('_', ' ')
                : `${UNITS[one.limit.unit]}, ${LEVELS[one.limit.level]}`}
              <span class="faint small">
                {one.status} {one.code}, last: {age(one.last_at_ms, now)}
                {one.last_key !== null && ` by ${one.last_key}`}
              </span>
            </span>
            <span class="limits-value">
              {count(one.last_hour)}
              <span class="muted"> / {count(one.last_day)}</span>
            </span>
          </li>
        ))}
      </ul>
      {!isWholeDay && data.length > 0 && (
        <p class="small muted">Counted by this node alone, since its start ({age(sinceMs, now)}).</p>
      )}
    </Panel>
  )
}
