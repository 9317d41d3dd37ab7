import { useState } from 'preact/hooks'
import { call } from '../../api.ts'
import { count, date, money, short } from '../../format.ts'
import { useKey } from '../../keys.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { Bullet } from '../../parts/bars.tsx'
import { Button } from '../../parts/button.tsx'
import { Form } from '../../parts/form.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark } from '../../parts/mark.tsx'
import { Sparkline } from '../../parts/sparkline.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { attempt } from '../../parts/toast.tsx'
import { go, hrefOf } from '../../router.ts'
import { serverNow } from '../../socket.ts'
import type { PageProps } from '../index.ts'
import { dayOf, goneAt, limitOf, limitWords, monthStart, onCourse } from './limits.ts'
import { One } from './one.tsx'
import { FULL } from './standing.tsx'
import './tenants.css'
import type { Listed, Paused, Tenant, Usage } from './types.ts'
import { UNITS } from './words.ts'

const DAY = 86_400_000
const DAYS = 14
const AGAIN_MS = 5_000

interface Row extends Tenant {
  readonly runs: number
  readonly waits: number
  readonly days: readonly number[]
  readonly spentNano: number
  readonly isPaused: boolean
}

export function Tenants({ params }: PageProps) {
  const nowMs = serverNow()
  const tenants = useLoad<{ data: readonly Tenant[] }>('/admin/tenants?recent=true', AGAIN_MS)
  const open = useLoad<Listed>('/admin/jobs?state=leased,queued,waiting,delayed&limit=1000', AGAIN_MS)
  const paused = useLoad<Paused>('/admin/pause', AGAIN_MS)
  const days = useLoad<Usage>(`/admin/usage?group_by=day,tenant&from=${dayOf(nowMs - (DAYS - 1) * DAY)}`, 30_000)
  const month = useLoad<Usage>(`/admin/usage?group_by=tenant&from=${monthStart(nowMs)}`, 30_000)
  const [isNew, setNew] = useState(false)
  const rows = (tenants.data?.data ?? []).map((tenant): Row => {
    const jobs = (open.data?.data ?? []).filter((job) => job.tenant === tenant.id)
    const runs = jobs.filter(({ state }) => state === 'leased').length
    return {
      ...tenant,
      runs,
      waits: jobs.length - runs,
      days: daysOf(days.data, tenant.id, nowMs),
      spentNano: month.data?.data.find((one) => one.tenant === tenant.id)?.nano_dollars ?? 0,
      isPaused: (paused.data?.data ?? []).some(
        (one) => one.tenant === tenant.id && one.lane === undefined && one.model === undefined,
      ),
    }
  })
  const reload = async (): Promise<void> => {
    await Promise.all([tenants.reload(), open.reload(), paused.reload()])
  }
  const id = params['tenant'] ?? rows[0]?.id
  const chosen = rows.find((row) => row.id === id)
  useKey('Escape', '', () => setNew(false), isNew)
  const most = Math.max(1, ...rows.flatMap((row) => row.days))
  return (
    <>
      <Head title="Tenants" hasSearch>
        <Button
          class="job-copy"
          onClick={() => void attempt(() => download('/admin/usage?format=csv&group_by=day,tenant,model'))}
        >
          Export CSV
        </Button>
        <Button needs="admin" onClick={() => setNew(true)}>
          New tenant
        </Button>
      </Head>
      {tenants.error !== null && <Trouble error={tenants.error} />}
      <div class={tenants.isSlow ? 'is-slow' : ''}>
        <Table
          label="Tenants"
          columns={columnsOf(nowMs, most)}
          rows={rows}
          keyOf={(row) => row.id}
          hrefOf={(row) => hrefOf(`/tenants/${encodeURIComponent(row.id)}`)}
          hasKeys
          chosen={id ?? null}
          empty={tenants.data === null ? '' : 'No tenant yet: one is there as soon as it has a key or a limit.'}
        />
      </div>
      {open.data?.has_more && (
        <p class="small muted">More than 1,000 jobs are open: what runs and waits is of the newest.</p>
      )}
      {chosen !== undefined && <One key={chosen.id} tenant={chosen} reload={reload} />}
      {chosen === undefined && tenants.data !== null && params['tenant'] !== undefined && (
        <p class="empty">
          There is no tenant {params['tenant']}. <a href={hrefOf('/tenants')}>All tenants</a>
        </p>
      )}
      {isNew && (
        <NewTenant
          onClose={() => setNew(false)}
          onMade={async (name) => {
            await reload()
            setNew(false)
            go(`/tenants/${encodeURIComponent(name)}`)
          }}
        />
      )}
    </>
  )
}

function daysOf(usage: Usage | null, tenant: string, nowMs: number): readonly number[] {
  const own = new Map(
    (usage?.data ?? [])
      .filter((one) => one.tenant === tenant)
      .map((one) => [one.day, one.prompt_tokens + one.completion_tokens]),
  )
  return Array.from({ length: DAYS }, (_, at) => own.get(dayOf(nowMs - (DAYS - 1 - at) * DAY)) ?? 0)
}

/** A link can't say that the page asks, so the file is fetched and handed over. */
async function download(path: string): Promise<void> {
  const response = await fetch(path, { headers: { 'x-sluice-page': '1' }, signal: AbortSignal.timeout(60_000) })
  if (!response.ok) throw new Error(`Sluice answered ${response.status}: no file.`)
  const link = document.createElement('a')
  link.href = URL.createObjectURL(await response.blob())
  link.download = 'usage.csv'
  link.click()
  URL.revokeObjectURL(link.href)
}

const columnsOf = (nowMs: number, most: number): readonly Column<Row>[] => [
  {
    id: 'tenant',
    title: 'Tenant',
    cell: ({ id, label }) => (
      <span class="tenant-name" title={label}>
        <strong>{id}</strong>
      </span>
    ),
  },
  { id: 'weight', title: 'Weight', align: 'right', from: 'tablet', cell: ({ weight }) => count(weight) },
  { id: 'runs', title: 'Runs', align: 'right', cell: ({ runs }) => count(runs) },
  {
    id: 'waits',
    title: 'Waits',
    align: 'right',
    cell: ({ waits }) => <span class={waits > 0 ? 'sand' : 'faint'}>{count(waits)}</span>,
  },
  {
    id: 'tokens',
    title: 'Tokens today, 14 days',
    from: 'tablet',
    cell: ({ days }) => (
      <span class="tenant-spark">
        <Sparkline values={days} max={most} width={86} height={18} />
        <span>{short(days.at(-1))}</span>
      </span>
    ),
  },
  { id: 'limit', title: 'Fullest limit', from: 'tablet', cell: (row) => <Use row={row} /> },
  {
    id: 'refused',
    title: <span title="In the last 24 hours">Refused</span>,
    align: 'right',
    from: 'phone',
    cell: ({ refused = 0 }) => <span class={refused > 0 ? 'warn' : 'faint'}>{count(refused)}</span>,
  },
  {
    id: 'spend',
    title: `Spend in ${new Date(nowMs).toLocaleString('en', { month: 'long', timeZone: 'UTC' })}`,
    from: 'phone',
    cell: (row) => <Spend row={row} nowMs={nowMs} />,
  },
  {
    id: 'care',
    title: <span class="for-readers">Care</span>,
    isWide: true,
    from: 'tablet',
    cell: (row) => <Care row={row} nowMs={nowMs} />,
  },
]

/** What binds it first: used, and hatched what is held. */
function Use({ row: { use, limits } }: { readonly row: Row }) {
  const all = limitWords(limits).join(', ')
  if (use == null) return <span class="faint">{all === '' ? 'no limit' : all}</span>
  const { unit, limit, used, held } = use
  const isMoney = unit === 'nano_dollars' || unit === 'spend_velocity'
  const amount = (n: number): string => (isMoney ? money(n) : short(n))
  const share = limit === 0 ? 1 : used / limit
  const heldShare = limit === 0 ? 0 : held / limit
  const words = `${amount(used + held)} of ${amount(limit)}`
  return (
    <span class="tenant-use" title={all}>
      <Bullet
        used={share}
        held={heldShare}
        width={56}
        tone={share + heldShare >= FULL ? 'warn' : isMoney ? 'slate' : 'water'}
        label={`${UNITS[unit]}: ${words}`}
      />
      <span>
        {words} <span class="muted">{isMoney ? `a ${use.window ?? 'hour'}` : (UNIT_WORDS[unit] ?? 'tokens')}</span>
      </span>
    </span>
  )
}
const UNIT_WORDS: Readonly<Record<string, string>> = {
  running: 'at once',
  requests: 'requests',
}

function Spend({ row, nowMs }: { readonly row: Row; readonly nowMs: number }) {
  const budget = limitOf(row.limits, 'dollars_per_month')
  const course = onCourse(row.spentNano, nowMs)
  const isOver = budget !== null && row.spentNano >= budget * 1e9
  return (
    <span class="tenant-spend" title={course === null ? undefined : `on course for ${money(course)}`}>
      {budget !== null && (
        <Bullet
          used={budget === 0 ? 1 : row.spentNano / (budget * 1e9)}
          tone={isOver ? 'warn' : 'slate'}
          width={72}
          label={`${money(row.spentNano)} of ${money(budget * 1e9)}`}
        />
      )}
      <span>
        {money(row.spentNano)}
        {budget !== null && <span class="muted"> / {money(budget * 1e9)}</span>}
        {course !== null && <span class="muted tenant-course">, on course for {money(course)}</span>}
      </span>
    </span>
  )
}

function Care({ row, nowMs }: { readonly row: Row; readonly nowMs: number }) {
  const budget = limitOf(row.limits, 'dollars_per_month')
  const gone = budget === null ? null : goneAt(row.spentNano, budget * 1e9, nowMs)
  const words =
    row.disabled !== null
      ? 'stopped'
      : row.isPaused
        ? 'queue paused'
        : gone === null
          ? null
          : gone <= nowMs
            ? 'budget is spent'
            : `over budget by ${date(gone)}`
  return words === null ? null : (
    <span class="state warn">
      <Mark shape="warn" />
      {words}
    </span>
  )
}

interface NewTenantProps {
  readonly onClose: () => void
  readonly onMade: (name: string) => Promise<void>
}

const NewTenant = ({ onClose, onMade }: NewTenantProps) => (
  <Form
    title="New tenant"
    fields={[{ name: 'tenant', title: 'Name' }]}
    effect={() => 'It has the limits of all that have none of their own.'}
    yes="Make the tenant"
    onClose={onClose}
    send={async ({ tenant }) => {
      const id = tenant.trim()
      await call('PATCH', `/admin/tenants/${encodeURIComponent(id || ' ')}`, { label: '' })
      await onMade(id)
    }}
  />
)
