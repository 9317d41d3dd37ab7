/** Is it well? If not: what, since when, why, who suffers? */
import { computed } from '@preact/signals'
import { useEffect, useState } from 'preact/hooks'
import type { DeploymentRow, RowKind } from '../../../../src/core/live.ts'
import { sameRange } from '../../feed.ts'
import { Head } from '../../parts/head.tsx'
import { TheLine } from '../../parts/line/index.tsx'
import { address, RANGE_MS, RANGE_WORDS, rangeOf, setParams } from '../../router.ts'
import { withoutWords } from '../../silent.ts'
import { changes, chart, foot, hello, jobs, line, liveError, now, serverNow, tick } from '../../socket.ts'
import { First } from '../first/index.tsx'
import { Brief } from './brief.tsx'
import { GoodChart, OutcomeChart, TokenChart, TpotChart, TtftChart } from './charts.tsx'
import { Figures } from './figures.tsx'
import { Deployments, LatestJobs, WhatChanged } from './lists.tsx'
import './now.css'

/** Old data stays; it is dimmed when new data takes longer. */
const DIM_MS = 1_000

export function Now() {
  if (isFirstStart.value) return <First />
  return (
    <>
      <Head title="Now" hasSearch hasRange />
      {liveError.value !== null && (
        <p class="bar bar-bad" role="alert">
          {liveError.value.message}
        </p>
      )}
      {hasData.value ? (
        <>
          <Top />
          <Middle />
          <Charts />
          <Lists />
          <Latest />
        </>
      ) : (
        <Skeleton />
      )}
    </>
  )
}

// Each part is drawn again by what it shows alone: the line four times a second, the rest once
const isFirstStart = computed(() => hello.value !== null && now.value?.briefs[0]?.kind === 'new')
const hasData = computed(() => hello.value !== null && now.value !== null)

function Top() {
  const told = hello.value
  const latest = now.value
  if (told === null || latest === null) return null
  return (
    <>
      <Brief briefs={latest.briefs} />
      <Figures now={latest} goals={told.goals} glossary={told.glossary} isPast={isPast()} />
    </>
  )
}

const setRows = (rows: RowKind): void => setParams({ rows: rows === 'tenant' ? null : rows })
/** The line, deployments and jobs are of the present: a range of the past has none of them. */
const isPast = (): boolean => typeof rangeOf(address.value.params) !== 'string'
const Middle = () => (line.value === null || isPast() ? null : <TheLine line={line.value} onRows={setRows} />)

/** By the rule of the brief. */
const isFailing = ({ attempts, failed }: DeploymentRow): boolean => {
  const { minAnswers = 0, manyFailed = 1 } = hello.value ?? {}
  return attempts >= minAnswers && attempts > 0 && failed / attempts >= manyFailed
}

function Lists() {
  const range = rangeOf(address.value.params)
  const told = changes.value
  if (typeof range !== 'string') {
    const inRange = told.filter(({ atMs }) => atMs >= range.fromMs && atMs < range.toMs)
    return <WhatChanged changes={inRange} nowMs={serverNow()} empty="Nothing was changed in this range." />
  }
  return (
    <div class="columns now-lists">
      <Deployments rows={now.value?.deployments ?? []} rangeMs={RANGE_MS[range]} isFailing={isFailing} />
      <WhatChanged changes={told} nowMs={serverNow()} empty="Nothing was changed since this Sluice was started." />
    </div>
  )
}

function Latest() {
  if (isPast()) return null
  // Ages go on while nothing happens
  void tick.value
  return <LatestJobs jobs={jobs.value} nowMs={serverNow()} />
}

function Charts() {
  const drawn = chart.value
  const told = hello.value
  const range = rangeOf(address.value.params)
  const isLoading = drawn === null || !sameRange(drawn.range, range)
  const [isDim, setDim] = useState(false)
  useEffect(() => {
    setDim(false)
    if (!isLoading) return
    const timer = setTimeout(() => setDim(true), DIM_MS)
    return () => clearTimeout(timer)
  }, [isLoading])
  const latest = now.value
  if (told === null || drawn === null || latest === null)
    return <div class="skeleton skeleton-charts" aria-hidden="true" />
  const { goals, glossary } = told
  const without = withoutWords(foot.value?.nodes ?? [])
  const both = { chart: drawn, changes: changes.value }
  const timed = { ...both, now: latest, goals }
  return (
    <div class={`charts ${isDim ? 'is-dim' : ''}`} aria-busy={isLoading}>
      {isDim && (
        <p class="loading" role="status">
          loading {typeof range === 'string' ? RANGE_WORDS[range] : 'the range'}
        </p>
      )}
      {without !== null && <p class="muted small">{without}</p>}
      <div class="columns now-two">
        <TtftChart {...timed} meaning={glossary['ttft']} />
        <TpotChart {...timed} meaning={glossary['tpot']} />
      </div>
      <div class="columns now-three">
        <OutcomeChart {...both} />
        <TokenChart {...both} />
        <GoodChart {...timed} minAnswers={told.minAnswers} />
      </div>
    </div>
  )
}

/** On the first paint only. */
const Skeleton = () => (
  <div aria-busy="true">
    <p class="for-readers">Loading</p>
    <div class="skeleton skeleton-brief" aria-hidden="true" />
    <div class="skeleton skeleton-figures" aria-hidden="true" />
    <div class="skeleton skeleton-charts" aria-hidden="true" />
  </div>
)
