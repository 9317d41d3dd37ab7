import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { JobState } from '../../../../src/core/job.ts'
import type { JobRow } from '../../../../src/core/live.ts'
import { get } from '../../api.ts'
import { age, count, counted, duration, money, whole } from '../../format.ts'
import { useKey } from '../../keys.ts'
import { Trouble, useLoad } from '../../load.tsx'
import { PhaseBar } from '../../parts/bars.tsx'
import { Button } from '../../parts/button.tsx'
import { confirm } from '../../parts/dialog.tsx'
import { Head } from '../../parts/head.tsx'
import { Mark } from '../../parts/mark.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { attempt, toast } from '../../parts/toast.tsx'
import { address, hrefOf, setParams } from '../../router.ts'
import { forbids } from '../../session.ts'
import { feed, hello, serverNow, tick, jobs as told } from '../../socket.ts'
import { filterOf } from '../index.ts'
import { actOn, told as toldOf, type Verb } from './act.ts'
import './jobs.css'
import {
  CHIPS,
  canRunAgain,
  finds,
  hasEnded,
  held,
  isWaiting,
  type JobView,
  jobIn,
  joined,
  KINDS,
  matches,
  rowOf,
  STATES,
  shortId,
} from './rows.ts'

const OLDER = 100

export function Jobs() {
  const { params } = address.value
  const filter = filterOf(params)
  const query = params.get('q')
  const key = JSON.stringify([filter, query])
  const [older, setOlder] = useState<{ key: string; rows: readonly JobRow[]; isAll: boolean }>({
    key,
    rows: [],
    isAll: false,
  })
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const goalMs = hello.value?.goals.ttftMs ?? null
  const byUser = useLoad<{ data: readonly JobView[] }>(
    query === null ? null : `/admin/jobs?limit=100&user=${encodeURIComponent(query)}`,
  )

  const live = told.value
  const own = older.key === key ? older : { rows: [], isAll: false }
  const all = useMemo(() => {
    if (query === null) return joined(live, own.rows)
    const users = byUser.data?.data.map(rowOf) ?? []
    return joined(
      live.filter((row) => finds(row, query)),
      users,
    )
  }, [live, own.rows, query, byUser.data])

  const { ref, seen, release } = useReading(all, selected.size > 0)
  const { rows: kept, fresh } = held(all, seen)
  // While somebody reads, a row that has left the filter stays where it is
  const rows = kept.filter((row) => seen?.has(row.job) || matches(row, filter, goalMs))
  const known = new Map(rows.map((row) => [row.job, row]))
  const chosen = [...selected].flatMap((job) => known.get(job) ?? [])
  const toggle = (job: string): void => {
    const next = new Set(selected)
    if (!next.delete(job)) next.add(job)
    setSelected(next)
  }
  const clear = (): void => setSelected(new Set())
  useEffect(clear, [key])
  useKey('Escape', '', clear, selected.size > 0)

  const act = (verb: Verb, of: readonly JobRow[]): void =>
    void attempt(async () => {
      if (verb === 'cancel' && !(await confirmCancel(of))) return
      const outcome = await actOn(
        verb,
        of.map(({ job }) => job),
      )
      toast(toldOf(verb, outcome), { isError: outcome.done === 0 })
      clear()
    })

  const more = (): void =>
    void attempt(async () => {
      const last = rows.at(-1)
      const { data, has_more } = await get<{ data: readonly JobView[]; has_more: boolean }>(
        `/admin/jobs?${olderQuery(filter, last?.job)}`,
      )
      setOlder({ key, rows: [...own.rows, ...data.map(rowOf)], isAll: !has_more })
    })

  const longestMs = Math.max(1, ...rows.map(({ ttftMs }) => ttftMs ?? 0))
  const isFiltered = Object.keys(filter).length > 0 || query !== null
  return (
    <>
      <Head title="Jobs" hasSearch />
      <Filters tenant={filter.tenant} model={filter.model} query={query} />
      {query !== null && <Found text={query} isListed={rows.some(({ job }) => job === query)} />}
      {byUser.error !== null && <Trouble error={byUser.error} />}
      <div ref={ref} class={`jobs ${feed.value.hasJobs ? '' : 'is-old'}`}>
        <div class="fresh" aria-live="polite">
          {fresh > 0 && (
            <button
              type="button"
              class="fresh-pill"
              onClick={() => {
                release()
                scrollTo({ top: 0 })
              }}
            >
              {fresh} new
            </button>
          )}
        </div>
        <Table
          label="Jobs, newest first"
          columns={columnsOf(longestMs, selected, toggle)}
          rows={rows}
          keyOf={({ job }) => job}
          hrefOf={({ job }) => hrefOf(`/jobs/${encodeURIComponent(job)}`)}
          hasKeys
          selected={selected}
          onSelect={toggle}
          classOf={({ state }) => `job-${state}`}
          empty={
            isFiltered ? (
              <>
                No job is like that
                {query === null
                  ? ''
                  : ': of the latest jobs, their ids, tenants and models were searched, the ids of their requests, traces ' +
                    'and keys; of all jobs, their users'}
                . <a href={hrefOf('/jobs')}>All jobs</a>
              </>
            ) : (
              <>
                No job yet. <a href={hrefOf('/playground')}>The playground</a> makes some.
              </>
            )
          }
        />
      </div>
      {rows.length > 0 && filter.kind === undefined && query === null && !own.isAll && (
        <p class="jobs-more">
          <Button onClick={more}>Older jobs</Button>
        </p>
      )}
      {filter.kind !== undefined && (
        <p class="muted small jobs-more">Of the jobs that Sluice has in memory: at most the last 2,000.</p>
      )}
      {selected.size > 0 && <Actions chosen={chosen} act={act} clear={clear} />}
    </>
  )
}

const confirmCancel = (of: readonly JobRow[]): Promise<boolean> => {
  const running = of.filter(({ state }) => state === 'leased').length
  const waiting = of.length - running
  return confirm({
    title: `Cancel ${counted(of.length, 'job')}?`,
    body: (
      <p>
        {running > 0 && `${running} ${running === 1 ? 'runs: its' : 'run: their'} text so far stays. `}
        {waiting > 0 && `${waiting} ${waiting === 1 ? 'waits: it loses its' : 'wait: they lose their'} place. `}
        This can’t be undone.
      </p>
    ),
    yes: `Cancel ${counted(of.length, 'job')}`,
  })
}

function Actions(props: {
  readonly chosen: readonly JobRow[]
  readonly act: (verb: Verb, of: readonly JobRow[]) => void
  readonly clear: () => void
}) {
  const { chosen, act, clear } = props
  const open = chosen.filter((row) => !hasEnded(row))
  const again = chosen.filter(canRunAgain)
  return (
    <section class="actions" aria-label="Selected jobs">
      <strong>{chosen.length} selected</strong>
      <Button
        needs="operator"
        off={open.length === 0 ? 'All of them have ended.' : null}
        onClick={() => act('cancel', open)}
      >
        Cancel {open.length > 0 && open.length}
      </Button>
      <Button
        needs="operator"
        off={again.length === 0 ? 'Only a failed or expired job can be run again.' : null}
        onClick={() => act('redrive', again)}
      >
        Run again {again.length > 0 && again.length}
      </Button>
      <Button kind="quiet" hint="Esc" onClick={clear}>
        Clear
      </Button>
    </section>
  )
}

function olderQuery(filter: ReturnType<typeof filterOf>, before: string | undefined): string {
  const query = new URLSearchParams({ limit: String(OLDER) })
  if (before !== undefined) query.set('before', before)
  const states = CHIPS.find(({ value }) => value === filter.state)?.states
  if (filter.state !== undefined) query.set('state', (states ?? [filter.state]).join(','))
  if (filter.tenant !== undefined) query.set('tenant', filter.tenant)
  if (filter.model !== undefined) query.set('model', filter.model)
  return query.toString()
}

/** The ids in sight while somebody reads: by pointer, focus or selection, or further down. Null: nobody does. */
function useReading(rows: readonly JobRow[], hasSelection: boolean) {
  const ref = useRef<HTMLDivElement>(null)
  const [seen, setSeen] = useState<ReadonlySet<string> | null>(null)
  const latest = useRef(rows)
  latest.current = rows
  const why = useRef({ pointer: false, focus: false, scroll: false, selection: false })
  const set = (change: Partial<typeof why.current>): void => {
    Object.assign(why.current, change)
    const reads = Object.values(why.current).some(Boolean)
    setSeen((before) => (reads ? (before ?? new Set(latest.current.map(({ job }) => job))) : null))
  }
  useEffect(() => set({ selection: hasSelection }), [hasSelection])
  useEffect(() => {
    const { current } = ref
    if (current === null) return
    const stop = new AbortController()
    const { signal } = stop
    const isMouse = (event: PointerEvent): boolean => event.pointerType === 'mouse'
    current.addEventListener('pointerenter', (event) => isMouse(event) && set({ pointer: true }), { signal })
    current.addEventListener('pointerleave', () => set({ pointer: false }), { signal })
    current.addEventListener('focusin', () => set({ focus: true }), { signal })
    current.addEventListener('focusout', () => set({ focus: false }), { signal })
    addEventListener('scroll', () => set({ scroll: scrollY > 160 }), { signal, passive: true })
    return () => stop.abort()
  }, [])
  return { ref, seen, release: () => setSeen(new Set(latest.current.map(({ job }) => job))) }
}

function Filters(props: {
  readonly tenant: string | undefined
  readonly model: string | undefined
  readonly query: string | null
}) {
  const { tenant, model, query } = props
  const { params } = address.value
  const state = params.get('state')
  const kind = params.get('kind')
  const models = hello.value?.models ?? []
  const tenants = [...new Set(told.value.map((row) => row.tenant))].sort()
  return (
    <section class="chips" aria-label="Filter">
      <div class="chips-group" role="group" aria-label="State">
        {CHIPS.map(({ value, text }) => (
          <Chip key={value} name="state" value={value} isOn={state === value}>
            <Mark shape={STATES[value as JobState].shape} />
            {text}
          </Chip>
        ))}
      </div>
      <div class="chips-group" role="group" aria-label="Kind">
        {KINDS.map(({ value, text, title }) => (
          <Chip key={value} name="kind" value={value} isOn={kind === value} title={title}>
            {text}
          </Chip>
        ))}
      </div>
      <div class="chips-group">
        <Pick name="tenant" all="every tenant" value={tenant} options={tenants} />
        <Pick name="model" all="every model" value={model} options={models} />
        {query !== null && (
          <button type="button" class="chip is-on" onClick={() => setParams({ q: null })}>
            “{query}” <span aria-hidden="true">×</span>
            <span class="for-readers">: end the search</span>
          </button>
        )}
      </div>
    </section>
  )
}

function Chip(props: {
  readonly name: string
  readonly value: string
  readonly isOn: boolean
  readonly title?: string
  readonly children: preact.ComponentChildren
}) {
  const { name, value, isOn, title, children } = props
  return (
    <button
      type="button"
      class={`chip ${isOn ? 'is-on' : ''}`}
      aria-pressed={isOn}
      title={title}
      onClick={() => setParams({ [name]: isOn ? null : value })}
    >
      {children}
    </button>
  )
}

function Pick(props: {
  readonly name: string
  readonly all: string
  readonly value: string | undefined
  readonly options: readonly string[]
}) {
  const { name, all, value, options } = props
  const shown = value === undefined || options.includes(value) ? options : [value, ...options]
  return (
    <select
      class={`chip-select ${value === undefined ? '' : 'is-on'}`}
      aria-label={name}
      value={value ?? ''}
      onChange={({ currentTarget }) => setParams({ [name]: currentTarget.value || null })}
    >
      <option value="">{all}</option>
      {shown.map((option) => (
        <option key={option} value={option}>
          {option}
        </option>
      ))}
    </select>
  )
}

interface KeyFound {
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly hint: string
}

/**
 * What is no row: a job by its whole id, or its client's (its page asks the store), a tenant, a model, and a key by its last four or its
 * name, which leads to its tenant.
 */
function Found({ text, isListed }: { readonly text: string; readonly isListed: boolean }) {
  const keys = useLoad<{ data: readonly KeyFound[] }>(forbids('operator') === null ? '/admin/keys' : null)
  const tenants = useLoad<{ data: ReadonlyArray<{ readonly id: string }> }>('/admin/tenants')
  const isNamed = ({ id }: { readonly id: string }): boolean => id === text
  const links: Array<readonly [what: string, path: string, id: string]> = []
  const job = jobIn(text)
  if (job !== null && !isListed) links.push(['Job', '/jobs/', job])
  if (tenants.data?.data.some(isNamed)) links.push(['Tenant', '/tenants/', text])
  if (hello.value?.models.includes(text)) links.push(['Model', '/models/', text])
  const found = (keys.data?.data ?? [])
    .filter(
      ({ id, hint, name, tenant }) => [id, name, tenant].includes(text) || (text.length > 3 && hint.includes(text)),
    )
    .slice(0, 8)
  if (found.length + links.length === 0) return null
  return (
    <ul class="found">
      {links.map(([what, path, id]) => (
        <li key={what}>
          {what} <a href={hrefOf(`${path}${encodeURIComponent(id)}`)}>{id}</a>
        </li>
      ))}
      {found.map(({ id, tenant, name, hint }) => (
        <li key={`${id} ${hint}`}>
          Key <a href={hrefOf(`/tenants/${encodeURIComponent(tenant)}`)}>{name === '' ? id : name}</a>{' '}
          <code>{hint}</code> of {tenant}
        </li>
      ))}
    </ul>
  )
}

function Age({ ofMs }: { readonly ofMs: number }) {
  void tick.value
  return <time title={whole(ofMs)}>{age(ofMs, serverNow())}</time>
}

const columnsOf = (
  longestMs: number,
  selected: ReadonlySet<string>,
  toggle: (job: string) => void,
): readonly Column<JobRow>[] => [
  {
    id: 'select',
    title: <span class="for-readers">Selected</span>,
    from: 'tablet',
    cell: ({ job }) => (
      <label class="job-check">
        <input
          type="checkbox"
          tabIndex={-1}
          checked={selected.has(job)}
          onChange={() => toggle(job)}
          aria-label={`Select ${shortId(job)}`}
        />
      </label>
    ),
  },
  {
    id: 'state',
    title: 'State',
    cell: ({ state }) => (
      <span class="state">
        <Mark shape={STATES[state].shape} />
        {STATES[state].word}
      </span>
    ),
  },
  {
    id: 'job',
    title: 'Job',
    cell: ({ job }) => (
      <code title={job} class="job-id">
        {shortId(job)}
      </code>
    ),
  },
  { id: 'tenant', title: 'Tenant', cell: ({ tenant }) => <span class="name">{tenant}</span> },
  { id: 'model', title: 'Model', from: 'desk', cell: ({ model }) => <span class="name">{model}</span> },
  {
    id: 'age',
    title: 'Age',
    align: 'right',
    cell: ({ acceptedAtMs }) => <Age ofMs={acceptedAtMs} />,
  },
  {
    id: 'first',
    title: 'First token',
    from: 'tablet',
    cell: ({ ttft, ttftMs }) => (
      <span class="job-first">
        {ttft === null ? <span class="phases" /> : <PhaseBar parts={ttft} ofMs={longestMs} />}
        <span>{duration(ttftMs)}</span>
      </span>
    ),
  },
  {
    id: 'tokens',
    title: 'Tokens',
    align: 'right',
    from: 'phone',
    cell: ({ tokens, state }) => (isWaiting(state) ? '–' : count(tokens)),
  },
  {
    id: 'cost',
    title: 'Cost',
    align: 'right',
    from: 'desk',
    cell: ({ nanoUsd, isEstimated }) => (
      <span title={isEstimated ? 'estimated: the provider did not tell' : undefined}>
        {money(nanoUsd)}
        {isEstimated && nanoUsd !== null && <span class="faint"> est.</span>}
      </span>
    ),
  },
  {
    id: 'words',
    title: 'Last words, or what it waits for',
    isWide: true,
    cell: (row) => <Words row={row} />,
  },
]

/** Where text may not be shown, what the job does. */
function Words({ row }: { readonly row: JobRow }) {
  const { error, waitsFor, words, attempts, isCut, state } = row
  const marks = [attempts > 1 && counted(attempts, 'attempt'), isCut && '✂ cut'].filter(Boolean).join(' · ')
  const extra = marks === '' ? null : <span class="warn small"> {marks}</span>
  if (error !== null && state !== 'canceled')
    return (
      <>
        <span class="bad">{error.message}</span>
        {extra}
      </>
    )
  if (waitsFor !== null) return <span class="sand">{waitsFor}</span>
  return (
    <>
      <span class="muted">{words ?? doing(row)}</span>
      {extra}
    </>
  )
}

function doing({ state, ttftMs, totalMs }: JobRow): string {
  if (state === 'leased') return ttftMs === null ? 'waits for its first token' : 'writes'
  if (state === 'done') return totalMs === null ? 'answered' : `answered in ${duration(totalMs)}`
  return ''
}
