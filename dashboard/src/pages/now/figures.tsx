/** Six figures, each with its goal, its sparkline and a link. */
import type { Goals, Now } from '../../../../src/core/live.ts'
import { type Amount, count, durationOf, money, NOTHING, percent, short } from '../../format.ts'
import { Figure } from '../../parts/figure.tsx'
import { hrefOf } from '../../router.ts'

const percentOf = (value: number | null): Amount => {
  if (value === null) return NOTHING
  return { value: percent(value).replace('%', ''), unit: '%' }
}

const withUnit = (value: number | null, unit: string): Amount =>
  value === null ? NOTHING : { value: count(Math.round(value)), unit }

interface FiguresProps {
  readonly now: Now
  readonly goals: Goals
  readonly glossary: Readonly<Record<string, string>>
  /** Of a range of the past. */
  readonly isPast: boolean
}

export function Figures({ now, goals, glossary, isPast }: FiguresProps) {
  const { ttftP95Ms, tpotP95Ms, tokensPerSecond, waitingJobs, waitingTokens, good, spentNanoUsd } = now
  /** Of too few answers to judge, that instead of the goal. */
  const noteOf = ({ few }: Now['good'], goal: string): string =>
    few === null ? goal : `of ${few} answer${few === 1 ? '' : 's'}`
  const goalOf = (ms: number): string => {
    const { value, unit } = durationOf(ms)
    return `goal ${value} ${unit}`
  }
  return (
    <section class="figures" aria-label="Figures">
      <Figure
        label="TTFT p95"
        meaning={glossary['ttft']}
        note={noteOf(ttftP95Ms, goalOf(ttftP95Ms.goal ?? goals.ttftMs))}
        amount={durationOf(ttftP95Ms.value)}
        isWell={ttftP95Ms.isWell}
        spark={ttftP95Ms.spark}
        goal={ttftP95Ms.goal}
        to={hrefOf('/jobs?kind=late')}
      />
      <Figure
        label="TPOT p95"
        meaning={glossary['tpot']}
        note={noteOf(tpotP95Ms, goalOf(tpotP95Ms.goal ?? goals.tpotMs))}
        amount={durationOf(tpotP95Ms.value)}
        isWell={tpotP95Ms.isWell}
        spark={tpotP95Ms.spark}
        goal={tpotP95Ms.goal}
        to={hrefOf('/models')}
      />
      <Figure
        label="Tokens out"
        note={isPast ? 'mean' : 'last 10 s'}
        amount={withUnit(tokensPerSecond.value, '/s')}
        spark={tokensPerSecond.spark}
        to={hrefOf('/models')}
      />
      <Figure
        label="Waiting"
        note={isPast ? 'mean' : waitingTokens > 0 ? `about ${short(waitingTokens)} tokens` : 'in line'}
        amount={withUnit(waitingJobs.value, waitingJobs.value === 1 ? 'job' : 'jobs')}
        isWell={waitingJobs.isWell}
        spark={waitingJobs.spark}
        tone="sand"
        to={hrefOf('/jobs?state=waiting')}
      />
      <Figure
        label="Good answers"
        meaning={glossary['goodput']}
        note={noteOf(good, `goal ${percent(good.goal ?? goals.good)}`)}
        amount={percentOf(good.value)}
        isWell={good.isWell}
        spark={good.spark}
        goal={good.goal}
        min={lowestOf(good.spark) < 0.9 ? 0 : 0.9}
        to={hrefOf('/jobs?kind=late')}
      />
      <Figure
        label={isPast ? 'Spend' : 'Spend today'}
        note={isPast ? (now.isSpentEstimated ? 'in this range, part estimated' : 'in this range') : spendNote(now)}
        {...(!isPast && { meaning: spendMeaning(now) })}
        amount={{ value: money(spentNanoUsd.value ?? 0), unit: '' }}
        isWell={spentNanoUsd.isWell}
        spark={spentNanoUsd.spark}
        tone="slate"
        to={hrefOf('/tenants')}
      />
    </section>
  )
}

const dollars = (nano: number): string => money(nano).replace(/\.00$/, '')

/** Where the day is heading for more than it may cost, that; the rest is in the meaning. */
function spendNote({ spentNanoUsd: { goal }, spendForecastNanoUsd: forecast, isSpentEstimated }: Now): string {
  if (goal === null) return isSpentEstimated ? 'part estimated' : 'by the ledger'
  return forecast !== null && forecast > goal ? `▸ ${dollars(forecast)} of ${dollars(goal)}` : `of ${dollars(goal)}`
}

function spendMeaning({ spentNanoUsd: { goal }, spendForecastNanoUsd: forecast, isSpentEstimated }: Now): string {
  const budget =
    goal === null ? 'The server has no budget of its own' : `The server’s budget of a day is ${dollars(goal)}`
  const course = forecast === null ? '' : ` At this pace the day comes to ${dollars(forecast)}.`
  return `By the ledger, since midnight UTC${isSpentEstimated ? ', a part of it estimated' : ''}. ${budget}.${course}`
}

const lowestOf = (values: readonly (number | null)[]): number =>
  values.reduce<number>((low, value) => Math.min(low, value ?? 1), 1)
