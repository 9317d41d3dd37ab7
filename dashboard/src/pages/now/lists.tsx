/** Deployments, what changed, and the latest jobs. */
import type { ChangeRow, DeploymentRow, JobRow } from '../../../../src/core/live.ts'
import { age, clock, count, duration, money, percent } from '../../format.ts'
import { Bullet, PhaseBar } from '../../parts/bars.tsx'
import { Mark, type Shape } from '../../parts/mark.tsx'
import { Panel } from '../../parts/panel.tsx'
import { Sparkline } from '../../parts/sparkline.tsx'
import { type Column, Table } from '../../parts/table.tsx'
import { shapeOf } from '../../parts/time.ts'
import { hrefOf } from '../../router.ts'
import { isWaiting, STATES as JOB_STATES } from '../jobs/rows.ts'
import { Sentence } from './brief.tsx'

const STATES: Readonly<Record<DeploymentRow['state'], readonly [Shape, string, string]>> = {
  up: ['well', 'up', ''],
  full: ['runs', 'full', ''],
  cooling: ['bad', 'out', 'bad'],
  failing: ['bad', 'failing', 'bad'],
  draining: ['waits', 'draining', ''],
  gone: ['canceled', 'gone', 'faint'],
}

export const stateOfDeployment = (row: DeploymentRow) => {
  const [shape, word, tone] = STATES[row.state]
  return (
    <span class={`state ${tone}`} title={row.failedCheck ?? row.lastError ?? undefined}>
      <Mark shape={shape} />
      {word}
      {row.state === 'cooling' && row.coolsForMs > 0 && (
        <span class="not-on-phone">for {duration(row.coolsForMs)}</span>
      )}
    </span>
  )
}

interface DeploymentsProps {
  readonly rows: readonly DeploymentRow[]
  readonly rangeMs: number
  readonly isFailing: (row: DeploymentRow) => boolean
}

export function Deployments({ rows, rangeMs, isFailing }: DeploymentsProps) {
  const most = Math.max(1, ...rows.flatMap(({ ttftSpark }) => ttftSpark.map((value) => value ?? 0)))
  const columns: readonly Column<DeploymentRow>[] = [
    { id: 'model', title: 'Model', cell: ({ model }) => model, from: 'phone' },
    {
      id: 'name',
      title: 'Deployment',
      isWide: true,
      cell: ({ deployment }) => <b title={deployment}>{deployment}</b>,
    },
    { id: 'state', title: 'State', cell: stateOfDeployment },
    {
      id: 'active',
      title: 'In flight',
      from: 'tablet',
      cell: ({ active, concurrent }) => (
        <span class="with-bar">
          {concurrent !== null && (
            <Bullet used={active / concurrent} label={`${active} of ${concurrent} in flight`} width={56} />
          )}
          <span class="muted">
            {count(active)}
            {concurrent !== null && ` / ${count(concurrent)}`}
          </span>
        </span>
      ),
    },
    {
      id: 'ttft',
      title: 'TTFT p95',
      cell: ({ ttftSpark, ttftP95Ms }) => (
        <span class="with-spark">
          <Sparkline values={ttftSpark} max={most} width={60} height={16} />
          <span>{duration(ttftP95Ms)}</span>
        </span>
      ),
    },
    { id: 'tpot', title: 'TPOT', align: 'right', from: 'tablet', cell: ({ tpotP50Ms }) => duration(tpotP50Ms) },
    {
      id: 'errors',
      title: 'Errors',
      align: 'right',
      cell: (row) => (
        <span class={isFailing(row) ? 'bad' : ''}>{row.attempts === 0 ? '–' : percent(row.failed / row.attempts)}</span>
      ),
    },
    {
      id: 'money',
      title: '$ an hour',
      align: 'right',
      from: 'desk',
      cell: ({ nanoUsd }) => (nanoUsd === null ? '–' : money((nanoUsd * 3_600_000) / rangeMs)),
    },
  ]
  return (
    <Panel title="Deployments">
      <Table
        label="Deployments"
        columns={columns}
        rows={rows}
        keyOf={({ model, deployment }) => `${model} ${deployment}`}
        hrefOf={({ deployment }) => hrefOf(`/models/${encodeURIComponent(deployment)}`)}
        empty="No deployment is configured."
      />
    </Panel>
  )
}

const CHANGES = 6

interface ChangedProps {
  readonly changes: readonly ChangeRow[]
  readonly nowMs: number
  readonly empty: string
}

export function WhatChanged({ changes, nowMs, empty }: ChangedProps) {
  return (
    <Panel title="What changed" right={<a href={hrefOf('/changes')}>all changes</a>}>
      {changes.length === 0 ? (
        <p class="empty">{empty}</p>
      ) : (
        <ul class="changes">
          {changes.slice(0, CHANGES).map(({ atMs, kind, words }) => (
            <li key={`${atMs} ${words[0]?.text}`}>
              <time class="muted" dateTime={new Date(atMs).toISOString()}>
                {clock(atMs, nowMs)}
              </time>
              <Mark shape={shapeOf(kind) === 'none' ? 'config' : shapeOf(kind)} label={kind} />
              <span>
                <Sentence words={words} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}

const JOBS = 8

interface LatestProps {
  readonly jobs: readonly JobRow[]
  readonly nowMs: number
}

export function LatestJobs({ jobs, nowMs }: LatestProps) {
  const rows = jobs.slice(0, JOBS)
  const most = Math.max(500, ...rows.map(({ ttftMs }) => ttftMs ?? 0))
  const columns: readonly Column<JobRow>[] = [
    {
      id: 'state',
      title: 'State',
      cell: ({ state }) => (
        <span class="state">
          <Mark shape={JOB_STATES[state].shape} />
          {JOB_STATES[state].word}
        </span>
      ),
    },
    { id: 'job', title: 'Job', cell: ({ job }) => <code>{job.slice(-6)}</code> },
    { id: 'tenant', title: 'Tenant', cell: ({ tenant }) => tenant },
    { id: 'model', title: 'Model', cell: ({ model }) => model, from: 'tablet' },
    { id: 'age', title: 'Age', cell: ({ acceptedAtMs }) => age(acceptedAtMs, nowMs), from: 'phone' },
    {
      id: 'ttft',
      title: 'First token',
      from: 'tablet',
      cell: ({ ttft, ttftMs }) =>
        ttft === null ? (
          <span class="faint">–</span>
        ) : (
          <span class="with-phases">
            <PhaseBar parts={ttft} ofMs={most} />
            <span>{duration(ttftMs)}</span>
          </span>
        ),
    },
    {
      id: 'tokens',
      title: 'Tokens',
      align: 'right',
      cell: ({ tokens, state }) => (isWaiting(state) ? '–' : count(tokens)),
    },
    { id: 'words', title: 'Text, or what it waits for', isWide: true, from: 'phone', cell: wordsOf },
  ]
  return (
    <Panel title="Latest jobs" right={<a href={hrefOf('/jobs')}>newest first · all jobs</a>}>
      <Table
        label="Latest jobs"
        columns={columns}
        rows={rows}
        keyOf={({ job }) => job}
        hrefOf={({ job }) => hrefOf(`/jobs/${encodeURIComponent(job)}`)}
        hasKeys
        empty="No job was submitted yet."
      />
    </Panel>
  )
}

function wordsOf({ words, waitsFor, error, state, totalMs, tokens }: JobRow) {
  if (error !== null) return <span class="bad">{error.message}</span>
  if (waitsFor !== null) return <span class="sand">{waitsFor}</span>
  if (words !== null) return <span class="muted">{words}</span>
  if (state === 'done') return <span class="faint">done in {duration(totalMs)}</span>
  return state === 'leased' ? <span class="faint">{tokens > 0 ? 'writes' : 'waits for its first token'}</span> : null
}
