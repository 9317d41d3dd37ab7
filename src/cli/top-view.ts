/** The lines of `sluice top`. Pure. */
import type { Foot, Hello, Line, Now, Words } from '../core/live.ts'
import { moneyText } from '../core/money.ts'
import { columns } from './table.ts'

export interface TopView {
  hello?: Hello
  foot?: Foot
  now?: Now
  line?: Line
}

const BAR = 24
const NONE = '–'
/** Its figures are left out then. */
const SILENT_MS = 3_000
/** The server says something each second. */
const LOST_MS = 5_000

/** None is wider than `wide`. `silentMs`: since the server told something last. */
export function viewOf({ hello, foot, now, line }: TopView, wide: number, silentMs = 0): string[] {
  if (now === undefined) return ['Waiting for the first figures …']
  const lines = [title(hello, foot), '']
  if (silentMs > LOST_MS)
    lines.push(`▲ No word from Sluice for ${Math.floor(silentMs / 1_000)} s: what is below is older than that.`, '')
  for (const { kind, state, cause, harm } of now.briefs.slice(0, 2)) {
    const isWell = kind === 'well' || kind === 'idle' || kind === 'new'
    lines.push(`${isWell ? '●' : '▲'} ${textOf(state)}`)
    for (const words of [cause, harm]) if (words.length > 0) lines.push(`  ${textOf(words)}`)
  }
  lines.push('', ...figures(now))
  if (line !== undefined) lines.push('', ...lineRows(line))
  lines.push('', ...deployments(now))
  return lines.map((text) => (text.length > wide ? `${text.slice(0, Math.max(1, wide - 1))}…` : text))
}

function title(hello: Hello | undefined, foot: Foot | undefined): string {
  const nodes = foot?.nodes.length ?? 1
  const silent = foot?.nodes.filter(({ silentMs }) => silentMs > SILENT_MS) ?? []
  const lag = foot?.loopLagP99Ms == null ? '' : ` · loop lag p99 ${ms(foot.loopLagP99Ms)}`
  const count = `${nodes} node${nodes === 1 ? '' : 's'}`
  const left = silent.map(({ id, silentMs }) => ` · ${id} silent for ${ms(silentMs)}`).join('')
  return `Sluice ${hello?.version ?? ''} · ${count}, ${hello?.durability ?? ''}${lag}${left}`
}

function figures(now: Now): string[] {
  const { ttftP95Ms, tpotP95Ms, tokensPerSecond, waitingJobs, waitingTokens, good, spentNanoUsd, isSpentEstimated } =
    now
  const goal = (value: number | null, text: (n: number) => string): string =>
    value === null ? '' : `goal ${text(value)}`
  const share = (n: number): string => `${Math.floor(n * 1_000) / 10}%`
  const rows: string[][] = [
    ['TTFT p95', of(ttftP95Ms.value, ms), goal(ttftP95Ms.goal, ms)],
    ['TPOT p95', of(tpotP95Ms.value, ms), goal(tpotP95Ms.goal, ms)],
    ['Tokens out', of(tokensPerSecond.value, (n) => `${count(n)}/s`), ''],
    [
      'Waiting',
      of(waitingJobs.value, (n) => `${count(n)} jobs`),
      waitingTokens > 0 ? `${count(waitingTokens)} tokens` : '',
    ],
    ['Good answers', of(good.value, share), goal(good.goal, share)],
    ['Spent today', of(spentNanoUsd.value, moneyText), isSpentEstimated ? 'partly estimated' : ''],
  ]
  return columns(rows).map((text) => `  ${text}`)
}

function lineRows({ top, waiting, running, slots, others, next }: Line): string[] {
  const head = `${waiting.jobs} waiting · ${running} running${slots === null ? '' : ` of ${slots} slots`}`
  const rows = top.map((row) => [
    `${row.name === next ? '▸' : ' '} ${row.name}`,
    `${row.waiting.jobs} wait`,
    `${row.running} run`,
    `${bar(row.share)} ${Math.round(row.share * 100)}%`,
    `${count(row.tokensPerSecond)} tok/s`,
  ])
  const more = others.rows > 0 ? [`  ${others.rows} more: ${others.waiting} wait, ${others.running} run`] : []
  return [head, ...columns(rows), ...more]
}

const bar = (share: number): string => {
  const full = Math.round(Math.max(0, Math.min(1, share)) * BAR)
  return '█'.repeat(full) + '░'.repeat(BAR - full)
}

function deployments(now: Now): string[] {
  const rows = now.deployments.map(
    ({ model, deployment, state, active, concurrent, ttftP95Ms, tpotP50Ms, failed, attempts }) => [
      deployment,
      model,
      state,
      `${active}${concurrent === null ? '' : ` / ${concurrent}`}`,
      of(ttftP95Ms, ms),
      of(tpotP50Ms, ms),
      attempts === 0 ? NONE : `${Math.round((failed / attempts) * 1_000) / 10}%`,
    ],
  )
  return columns([['Deployment', 'Model', 'State', 'Calls', 'TTFT p95', 'TPOT p50', 'Errors'], ...rows])
}

const textOf = (words: readonly Words[]): string => words.map(({ text }) => text).join('')
const of = (value: number | null, text: (n: number) => string): string => (value === null ? NONE : text(value))
const ms = (n: number): string =>
  n < 1_000 ? `${n < 100 ? Math.round(n * 10) / 10 : Math.round(n)} ms` : `${(n / 1_000).toFixed(1)} s`
const count = (n: number): string => Math.round(n).toLocaleString('en-US')
