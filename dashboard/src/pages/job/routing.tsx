import { useEffect } from 'preact/hooks'
import type { JobTrace } from '../../../../src/core/live.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Mark } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { hrefOf } from '../../router.ts'
import { hasEnded } from '../jobs/rows.ts'
import { leadOf, type Route, rowsOf } from './route.ts'

const ROUTE_MARKS = { chosen: 'well', open: 'waits', out: 'canceled' } as const

/** Which deployments were left out and why, and which is chosen. */
export function Routing({ trace: { row, attempts } }: { readonly trace: JobTrace }) {
  const route = useLoad<Route>(`/admin/jobs/${encodeURIComponent(row.job)}/route`)
  const stage = `${row.state} ${row.attempts}`
  useEffect(() => void route.reload(), [stage])
  const went = attempts
    .map(({ deployment }) => deployment)
    .filter((name, at, all) => name !== '' && name !== all[at - 1])
  return (
    <Panel title="Route" sub="as things stand now" class="job-route">
      {route.error !== null && <Trouble error={route.error} />}
      {route.data !== null && <p>{leadOf(route.data, went, hasEnded(row))}</p>}
      {route.data?.steps.map((step) => (
        <ul key={step.model} aria-label={`Deployments of ${step.model}`}>
          {step.model !== row.model && (
            <li class="muted small">
              Instead of {row.model}, {step.model}:
            </li>
          )}
          {rowsOf(step).map(({ deployment, is, words }) => (
            <li key={deployment}>
              <Mark shape={ROUTE_MARKS[is]} />
              <a href={hrefOf(`/models/${encodeURIComponent(deployment)}`)}>{deployment}</a>
              <span class="muted">{words}</span>
            </li>
          ))}
        </ul>
      ))}
    </Panel>
  )
}
