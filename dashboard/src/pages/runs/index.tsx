/** Agents' runs of all tenants, or of one, newest first: how they stand, and what they have used of their budgets. */
import { useState } from 'preact/hooks'
import { get } from '../../api.ts'
import { age, count, money, whole } from '../../format.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Bullet } from '../../parts/bars.tsx'
import { Button } from '../../parts/button.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark } from '../../parts/mark.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { attempt } from '../../parts/toast.tsx'
import { address, hrefOf, setParams } from '../../router.ts'
import { serverNow, tick } from '../../socket.ts'
import { RUN_STATES, type RunView, runPath } from '../run/tree.ts'
import './runs.css'
import { endedOf, isIn, shareOf } from './rows.ts'

export type RunRow = Omit<RunView, 'jobs'> & { readonly tenant: string }
interface Page {
  readonly data: readonly RunRow[]
  readonly next: string | null
}

const AT_ONCE = 20
const AGAIN_MS = 10_000

export function Runs() {
  const tenant = address.value.params.get('tenant')
  const query = `/admin/runs?limit=${AT_ONCE}${tenant === null ? '' : `&tenant=${encodeURIComponent(tenant)}`}`
  const newest = useLoad<Page>(query, AGAIN_MS)
  const [older, setOlder] = useState<Page & { readonly query: string }>({ query, data: [], next: null })
  const own = older.query === query ? older : null
  const known = newest.data?.data ?? []
  const rows = [...known, ...(own?.data ?? []).filter((row) => !isIn(known, row))]
  const next = own === null || own.data.length === 0 ? (newest.data?.next ?? null) : own.next
  const more = (): void =>
    void attempt(async () => {
      const page = await get<Page>(`${query}&after=${encodeURIComponent(next ?? '')}`)
      setOlder({ query, data: [...(own?.data ?? []), ...page.data], next: page.next })
    })
  void tick.value
  return (
    <>
      <Head title="Runs" hasSearch />
      {tenant !== null && (
        <section class="chips" aria-label="Filter">
          <button type="button" class="chip is-on" aria-pressed onClick={() => setParams({ tenant: null })}>
            {tenant} ×
          </button>
        </section>
      )}
      {newest.error !== null && <Trouble error={newest.error} />}
      {newest.data !== null && (
        <Table
          label="Runs, newest first"
          columns={COLUMNS}
          rows={rows}
          keyOf={({ tenant, id }) => runPath(tenant, id)}
          hrefOf={({ tenant, id }) => hrefOf(runPath(tenant, id))}
          hasKeys
          empty={
            <>
              No run yet: a request that names one (<code>sluice-run</code>) begins it. Runs are kept for 30 days after
              their last job.
            </>
          }
        />
      )}
      {next !== null && (
        <p class="jobs-more">
          <Button onClick={more}>Older runs</Button>
        </p>
      )}
    </>
  )
}

/** Sums of a part are the least that there is. */
const least = (text: string, { totals }: RunRow): string => (totals.is_partial ? `${text}+` : text)

const COLUMNS: ReadonlyArray<Column<RunRow>> = [
  {
    id: 'state',
    title: 'State',
    cell: ({ state }) => {
      const [word, shape] = RUN_STATES[state]
      return (
        <span class="runs-state">
          <Mark shape={shape} />
          {word}
        </span>
      )
    },
  },
  {
    id: 'run',
    title: 'Run',
    isWide: true,
    cell: ({ tenant, id }) => (
      <a href={hrefOf(runPath(tenant, id))} title={id}>
        {id}
      </a>
    ),
  },
  {
    id: 'tenant',
    title: 'Tenant',
    from: 'tablet',
    cell: ({ tenant }) => <a href={hrefOf(`/runs?tenant=${encodeURIComponent(tenant)}`)}>{tenant}</a>,
  },
  {
    id: 'jobs',
    title: 'Jobs ended',
    align: 'right',
    from: 'phone',
    cell: (row) => `${count(endedOf(row.totals))} of ${least(count(row.totals.jobs), row)}`,
  },
  {
    id: 'tokens',
    title: 'Tokens',
    align: 'right',
    from: 'tablet',
    cell: (row) => least(count(row.totals.total_tokens), row),
  },
  { id: 'cost', title: 'Cost', align: 'right', cell: (row) => least(money(row.totals.usd * 1e9), row) },
  {
    id: 'budget',
    title: 'Budget',
    from: 'desk',
    cell: (row) => {
      const fullest = shareOf(row)
      if (fullest === null) return <span class="muted">none of its own</span>
      const { name, share } = fullest
      const words = `${Math.floor(share * 100)} % of its ${name}`
      return (
        <span class="runs-budget">
          <Bullet used={share} tone={share >= 1 ? 'warn' : 'water'} label={words} />
          <span class="muted">{words}</span>
        </span>
      )
    },
  },
  {
    id: 'begun',
    title: 'Begun',
    align: 'right',
    cell: ({ created_at: at }) => <time title={whole(at * 1_000)}>{age(at * 1_000, serverNow())}</time>,
  },
]
