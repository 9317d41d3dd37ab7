/** How near a tenant is to its limits: what is used, and hatched what is held; asked of the coordinator while seen. */
import type { WireLimitUse } from '../../../../src/core/limits.ts'
import { counted, duration, money, short } from '../../format.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Bullet } from '../../parts/bars.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Panel } from '../../parts/panel.tsx'
import type { Tenant } from './types.ts'
import { LEVELS, UNITS } from './words.ts'

interface Stands {
  readonly data: readonly WireLimitUse[]
  readonly near: readonly WireLimitUse[]
  readonly more: number
  readonly partial: boolean
}

const AGAIN_MS = 2_000
/** Of what is used and held: from here on it is drawn as trouble. */
export const FULL = 0.95

interface StandingProps {
  readonly tenant: Tenant
  /** Why its limits can't be changed here. */
  readonly locked: string | null
}

export function Standing({ tenant: { id, limits_source }, locked }: StandingProps) {
  const stands = useLoad<Stands>(`/admin/tenants/${encodeURIComponent(id)}/standing`, AGAIN_MS)
  const { data, near, more, partial } = stands.data ?? { data: [], near: [], more: 0, partial: false }
  return (
    <Panel title="Limits" sub="what binds first stands first">
      {stands.error !== null && <Trouble error={stands.error} />}
      {stands.data !== null && data.length === 0 && (
        <p class="muted">{limits_source === null ? 'It has no limits.' : 'None of its own: see its keys and users.'}</p>
      )}
      <Uses uses={data} />
      {near.length > 0 && (
        <>
          <h3 class="limits-near small">Keys, users and runs that are near theirs</h3>
          <Uses uses={near} />
        </>
      )}
      {more > 0 && <p class="small muted">{counted(more, 'more of them')} have used half of a limit.</p>}
      {partial && <p class="small muted">It has more keys, users and runs than are looked at here.</p>}
      {locked !== null && (
        <p class="muted small lock">
          <Icon name="lock" size={13} /> {locked}
        </p>
      )}
    </Panel>
  )
}

const Uses = ({ uses }: { readonly uses: readonly WireLimitUse[] }) => (
  <ul class="limits">
    {uses.map((use) => {
      const { level, name, unit, window, limit, used, held, reset_ms: resetMs } = use
      const isMoney = unit === 'nano_dollars' || unit === 'spend_velocity'
      const amount = (n: number): string => (isMoney ? money(n) : short(n))
      const title = window === undefined ? UNITS[unit] : `Money a ${window}`
      const share = limit === 0 ? 1 : used / limit
      const heldWords = held > 0 ? `, ${amount(held)} held` : ''
      const isFull = share + (limit === 0 ? 0 : held / limit) >= FULL
      return (
        <li key={`${level} ${name} ${unit} ${window}`}>
          <span>
            {title}
            <span class="faint small clip">
              {LEVELS[level]} {name}
              {resetMs > 0 && `, ${window === undefined ? 'all free' : 'anew'} in ${duration(resetMs)}`}
            </span>
          </span>
          <Bullet
            used={share}
            held={limit === 0 ? 0 : held / limit}
            tone={isFull ? 'warn' : isMoney ? 'slate' : 'water'}
            label={`${title} of ${LEVELS[level]} ${name}: ${amount(used)} of ${amount(limit)}${heldWords}`}
          />
          <span class="limits-value" title={held > 0 ? `${amount(held)} held` : undefined}>
            {amount(used)}
            <span class="muted"> of {amount(limit)}</span>
          </span>
        </li>
      )
    })}
  </ul>
)
