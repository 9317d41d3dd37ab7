/** Where TTFT went, whether the model is slow, how requests ended, tokens, good answers. */
import { useState } from 'preact/hooks'
import type { ChangeRow, Chart, Goals, Now } from '../../../../src/core/live.ts'
import { count, duration, percent, short } from '../../format.ts'
import { TimeChart } from '../../parts/chart.tsx'
import { Heatmap } from '../../parts/heatmap.tsx'
import { Mark } from '../../parts/mark.tsx'
import { Panel, Swatch, Term } from '../../parts/panel.tsx'
import { axisOf, groupsOf, marksOf, spread, sumOf } from '../../parts/time.ts'
import {
  burnOf,
  partOf,
  periodWords,
  perMinute,
  perSecond,
  STACK,
  shareGood,
  ttftLabels,
  ttftWords,
  turnOf,
} from './series.ts'

interface ChartProps {
  readonly chart: Chart
  readonly changes: readonly ChangeRow[]
}

interface TimesProps extends ChartProps {
  /** Its figures are told beside the charts, which are of their time. */
  readonly now: Now
  readonly goals: Goals
  readonly meaning: string | undefined
}

const BARS = 45
const HEIGHT = 216
const LOW = 150
const LABEL_GAP = 17

function ownTurn(chart: Chart, bucket: number): ReadonlyArray<{ readonly name: string; readonly value: string }> {
  const ms = turnOf(chart, { startMs: 0, from: bucket, to: bucket + 1 })
  return ms === null ? [] : [{ name: 'own turn, beside it', value: duration(ms) }]
}

export function TtftChart({ chart, changes, now, goals, meaning }: TimesProps) {
  const axis = axisOf(chart)
  const { stepMs, groups } = groupsOf(axis, BARS)
  const [yOf, setYOf] = useState<{ readonly of: (value: number) => number } | null>(null)
  const most = Math.max(...chart.ttftP95.map((value) => value ?? 0), goals.ttftMs)
  const isSeconds = most >= 1_000
  const p95 = now.ttftP95Ms.value
  const labels = ttftLabels(now)
  const places =
    yOf === null
      ? labels.map((_, at) => 30 + at * LABEL_GAP)
      : spread(
          labels.map(({ at }, index) => yOf.of(at) + index * 0.01),
          LABEL_GAP,
          26,
          HEIGHT - 34,
        )
  return (
    <Panel
      title={<Term of={meaning}>Time to first token</Term>}
      sub={ttftWords(chart) ?? 'How long until a user sees something, and why?'}
      right="mean, by where it went · line: p95"
    >
      <div class="with-labels">
        <TimeChart
          axis={axis}
          height={HEIGHT}
          label={`Time to first token: p95 is ${duration(p95)} (${periodWords(now)}), the goal ${duration(goals.ttftMs)}.`}
          bars={{
            stepMs,
            startsMs: groups.map(({ startMs }) => startMs),
            stack: STACK.map((part) => ({
              tone: part.tone,
              values: groups.map((group) => partOf(chart, part, group)),
            })),
          }}
          lines={[{ values: chart.ttftP95, tone: '--text' }]}
          goal={{ value: goals.ttftMs, words: `goal ${duration(goals.ttftMs)}` }}
          marks={marksOf(changes, axis)}
          hasWords
          ticks={(value, isTop) =>
            isSeconds ? `${count(value / 1_000)}${isTop ? ' s' : ''}` : `${count(value)}${isTop ? ' ms' : ''}`
          }
          onScale={(of) => {
            const key = `${of(0)} ${of(most)}`
            if (key !== scaled) {
              scaled = key
              setYOf({ of })
            }
          }}
          read={(bucket) => [
            ...ownTurn(chart, bucket),
            { name: 'p95', value: duration(chart.ttftP95[bucket]) },
            { name: 'p50', value: duration(chart.ttftP50[bucket]) },
            ...[...STACK].reverse().map((part) => ({
              name: part.word,
              swatch: part.swatch,
              value: duration(partOf(chart, part, { startMs: 0, from: bucket, to: bucket + 1 })),
            })),
          ]}
        />
        <ul class="chart-labels" style={{ '--height': `${HEIGHT}px` }} aria-label={periodWords(now)}>
          <li class="chart-labels-head">
            <span>{periodWords(now)}</span>
          </li>
          {labels.map(({ key, swatch, word, ms }, at) => (
            <li key={key} class={key === 'p95' ? 'is-strong' : ''} style={{ '--y': `${places[at] - 9}px` }}>
              {swatch === null ? <span>{word}</span> : <Swatch of={swatch}>{word}</Swatch>}
              <span>{duration(ms)}</span>
            </li>
          ))}
        </ul>
      </div>
    </Panel>
  )
}

/** The last scale that labels were placed by: what hasn't moved is not drawn again. */
let scaled = ''

export function TpotChart({ chart, changes, now, goals, meaning }: TimesProps) {
  const axis = axisOf(chart)
  const p50 = now.period.tpotP50Ms
  const p95 = now.tpotP95Ms.value
  const stalls = chart.stalls.reduce((sum, value) => sum + value, 0)
  return (
    <Panel
      title={<Term of={meaning}>Time per token</Term>}
      sub={p50 === null ? 'Is the model slow?' : `${periodWords(now)}: p50 ${duration(p50)}, p95 ${duration(p95)}`}
      right="ms · heat: streams"
    >
      <Heatmap
        chart={chart}
        goalMs={goals.tpotMs}
        marks={marksOf(changes, axis)}
        height={HEIGHT}
        label={`Time per token: p95 is ${duration(p95)} (${periodWords(now)}), the goal ${duration(goals.tpotMs)}; ${count(stalls)} stalls.`}
      />
    </Panel>
  )
}

const OUTCOMES = [
  ['done', '--water', 'water', 'done'],
  ['canceled', '--muted', 'hatched', 'canceled'],
  ['expired', '--sand', 'sand', 'expired'],
  ['refused', '--warn', 'warn', 'refused'],
  ['failed', '--bad', 'bad', 'failed'],
] as const

export function OutcomeChart({ chart, changes }: ChartProps) {
  const axis = axisOf(chart)
  const all = { startMs: 0, from: 0, to: chart.buckets }
  const sums = OUTCOMES.map(([id, , , word]) => `${count(sumOf(chart.outcomes[id], all))} ${word}`)
  const { stepMs, groups } = groupsOf(axis, 26)
  const minute = Math.max(1, Math.round(60_000 / chart.stepMs))
  const latest = { startMs: 0, from: Math.max(0, chart.buckets - minute), to: chart.buckets }
  return (
    <Panel title="Requests by outcome" right="a minute">
      <TimeChart
        axis={axis}
        height={LOW}
        label={`Requests by outcome: ${sums.join(', ')} in this range.`}
        bars={{
          stepMs,
          startsMs: groups.map(({ startMs }) => startMs),
          stack: OUTCOMES.map(([id, tone]) => ({
            tone,
            isHatched: id === 'canceled',
            values: groups.map((group) => perMinute(chart.outcomes[id], group, chart.stepMs)),
          })),
        }}
        marks={marksOf(changes, axis)}
        ticks={(value) => (value < 10 ? count(value) : short(value))}
        read={(bucket) =>
          OUTCOMES.map(([id, , swatch, word]) => ({
            name: word,
            swatch,
            value: count(chart.outcomes[id][bucket] ?? 0),
          }))
        }
      />
      <p class="legend">
        {OUTCOMES.map(([id, , swatch, word]) => {
          const value = Math.round(perMinute(chart.outcomes[id], latest, chart.stepMs))
          if (id === 'expired' && sumOf(chart.outcomes[id], all) === 0) return null
          return (
            <Swatch key={id} of={swatch}>
              {word} {count(value)}
            </Swatch>
          )
        })}
      </p>
    </Panel>
  )
}

const stepWords = (ms: number): string => (ms < 60_000 ? `${ms / 1_000} s` : `${ms / 60_000} min`)

export function TokenChart({ chart, changes }: ChartProps) {
  const axis = axisOf(chart)
  const out = perSecond(chart.tokensOut, chart.stepMs)
  const read = perSecond(chart.tokensIn, chart.stepMs)
  // The last one that is over
  const last = Math.max(0, chart.buckets - 2)
  const sum = chart.tokensIn[last] ?? 0
  const cached = chart.tokensCached[last] ?? 0
  return (
    <Panel title="Tokens a second" right="out · in">
      <TimeChart
        axis={axis}
        height={LOW}
        label={`Tokens a second: ${count(Math.round(out[last] ?? 0))} out, ${count(Math.round(read[last] ?? 0))} in.`}
        lines={[
          { values: out, tone: '--water', isFilled: true },
          { values: read, tone: '--muted', isDashed: true },
        ]}
        marks={marksOf(changes, axis)}
        ticks={(value) => (value < 10 ? count(value) : short(value))}
        read={(bucket) => [
          { name: 'out', swatch: 'line', value: count(Math.round(out[bucket] ?? 0)) },
          { name: 'in', swatch: 'dash', value: count(Math.round(read[bucket] ?? 0)) },
          { name: 'cached', value: count(Math.round((chart.tokensCached[bucket] * 1_000) / chart.stepMs)) },
        ]}
      />
      <p class="legend">
        <span>last {stepWords(chart.stepMs)}</span>
        <Swatch of="line">out {count(Math.round(out[last] ?? 0))}</Swatch>
        <Swatch of="dash">in {count(Math.round(read[last] ?? 0))}</Swatch>
        {sum > 0 && <span>of it cached {percent(Math.min(1, cached / sum))}</span>}
      </p>
    </Panel>
  )
}

const MONTH_MS = 30 * 86_400_000

type GoodProps = Omit<TimesProps, 'meaning'> & { readonly minAnswers: number }

export function GoodChart({ chart, changes, now, goals, minAnswers }: GoodProps) {
  const axis = axisOf(chart)
  const shares = shareGood(chart)
  const known = shares.filter((share) => share !== null)
  const low = Math.min(100, ...known)
  const min = low >= 96.5 ? 96 : low >= 90 ? 90 : 0
  const burn = burnOf(chart, goals.good)
  const judged = chart.judged.reduce((sum, value) => sum + value, 0)
  const isFew = judged < minAnswers
  const isBad = burn !== null && burn > 1 && !isFew
  const good = now.good.value === null ? 'none judged' : percent(now.good.value)
  return (
    <Panel
      title="Good answers"
      sub={`first token in ${duration(goals.ttftMs)}, then ${duration(goals.tpotMs)} each`}
      right={`goal ${percent(goals.good)}`}
      class="one-line"
    >
      <TimeChart
        axis={axis}
        height={LOW}
        label={`Good answers: ${good} (${periodWords(now)}), the goal ${percent(goals.good)}.`}
        lines={[{ values: shares, tone: isBad ? '--warn' : '--water' }]}
        goal={{ value: goals.good * 100 }}
        min={min}
        max={100}
        marks={marksOf(changes, axis)}
        ticks={(value) => count(value)}
        read={(bucket) => [
          { name: 'good', value: shares[bucket] == null ? '–' : percent((shares[bucket] ?? 0) / 100) },
          { name: 'judged', value: count(chart.judged[bucket] ?? 0) },
        ]}
      />
      <p class="legend">
        {burn === null ? (
          <span>
            {known.length === 0
              ? 'Of no answer in this range it is known that it was judged.'
              : 'All answers are to be good: none may miss.'}
          </span>
        ) : isFew ? (
          <span>Too few answers to judge: {count(judged)} in this range.</span>
        ) : isBad ? (
          <span>
            <Mark shape="warn" /> {count(Math.round(burn * 10) / 10)} × what the goal allows: a month’s budget lasts{' '}
            {duration(MONTH_MS / burn)}
          </span>
        ) : (
          <span>Burns {count(Math.round(burn * 10) / 10)} × what the goal allows.</span>
        )}
      </p>
    </Panel>
  )
}
