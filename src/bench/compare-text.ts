/** A comparison as lines of a console, and as Markdown for a pull request. */
import type { Attribution, Comparison, Effect } from '../core/comparison.ts'
import { intervalText, msText, paceText, percentText, pText, shiftText, valueText } from './words.ts'

const WORD: Readonly<Record<Effect['outcome'], string>> = {
  worse: 'WORSE',
  better: 'BETTER',
  'no-change': 'NO CHANGE',
  'cant-tell': 'INCONCLUSIVE',
}

const OF: Readonly<Record<Attribution['of'], string>> = {
  'ttft-mean': 'TTFT, mean',
  'ttft-p95': 'TTFT of the slowest 5%',
  'tpot-mean': 'TPOT, mean',
}

const SOURCE: Readonly<Record<Attribution['source'], string>> = {
  server: 'by the server’s own times',
  engine: 'by the engine’s own times',
  metrics: 'by the engine’s /metrics',
  idle: 'by requests without load',
}

const SHAPE = { same: '●', warns: '▲', unknown: '○', differs: '■' } as const

/** Of one effect: by which p, and what would have been seen. */
function noteOf({ outcome, p, adjustedP, detectable, unit }: Effect, margin: number): string {
  const within = outcome === 'no-change' ? `within ${percentText(margin)}` : ''
  const seen =
    outcome === 'worse' || outcome === 'better'
      ? ''
      : detectable === null
        ? 'too few rounds to see any'
        : detectable === 0
          ? 'could have seen any'
          : `could have seen ${valueText(detectable, unit)}`
  const more = [within, seen].filter((text) => text !== '').join('; ')
  return `${pText(adjustedP ?? p)}  ${adjustedP === null ? 'beside the verdict' : WORD[outcome]}${more && ` (${more})`}`
}

export const attributionText = (attribution: Attribution): string => {
  const text = (ms: number): string => {
    const value = attribution.of === 'tpot-mean' ? paceText(ms) : msText(ms)
    return ms > 0 && /[1-9]/.test(value) ? `+${value}` : value
  }
  const { parts, deltaMs, of, source } = attribution
  // Parts that did not move only fill the line; the rest is always told
  const told = parts.filter(({ part, deltaMs: moved }) => part === 'unexplained' || /[1-9]/.test(text(moved)))
  const list = told.map(({ part, deltaMs: moved }) => `${part} ${text(moved)}`).join(' | ')
  return `${OF[of]}: ${text(deltaMs)} = ${list} (${SOURCE[source]})`
}

export function consoleLines(comparison: Comparison): string[] {
  const { before, after, sentence, details, effects, attributions, checks, cause, next, method } = comparison
  const head = `${after.label} vs ${before.label}: `
  const compared = checks.map(({ state, title, text }) => `  ${SHAPE[state]} ${title}: ${text}`)
  if (comparison.verdict === 'not-comparable') return [`${head}NOT COMPARABLE. ${sentence}`, '', ...compared]
  const rows = effects.map((effect) => [
    effect.name,
    valueText(effect.before, effect.unit),
    valueText(effect.after, effect.unit),
    `${shiftText(effect.shift, effect.unit)} ${intervalText(effect.low, effect.high, effect.unit)}`,
    noteOf(effect, method.margin),
  ])
  return [
    `${head}${sentence}`,
    ...details,
    '',
    ...aligned([['', before.label, after.label, `shift [${percentText(method.confidence)}]`, ''], ...rows]),
    '',
    ...(attributions.length === 0 ? ['Where it went: nobody told, and there was no idle floor.'] : ['Where it went']),
    ...attributions.map((attribution) => `  ${attributionText(attribution)}`),
    '',
    'May they be compared',
    ...compared,
    ...(cause === null ? [] : ['', `Likely cause: ${cause}.`]),
    ...(next === null ? [] : [`Next: ${next}`]),
  ]
}

/** The last cell is not padded. */
function aligned(rows: ReadonlyArray<readonly string[]>): string[] {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)))
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd(),
  )
}

const MARK: Readonly<Record<Effect['outcome'], string>> = {
  worse: '▲ worse',
  better: '● better',
  'no-change': '= no change',
  'cant-tell': '? can’t tell',
}

/** Labels and models are the user's words: none of them may break a table, or ping anybody. */
const safe = (text: string): string => text.replaceAll(/[|<>`\r\n]/g, ' ').replaceAll('@', '@\u200b')

export function markdownOf(comparison: Comparison): string {
  const { before, after, sentence, details, effects, attributions, checks, cause, next } = comparison
  const compared = checks.map(({ state, title, text }) => `- ${SHAPE[state]} ${title}: ${safe(text)}`)
  const head = [`### ${safe(after.label)} vs ${safe(before.label)}: ${safe(sentence)}`, '']
  if (comparison.verdict === 'not-comparable') return `${[...head, ...compared].join('\n')}\n`
  const deciding = effects.filter(({ adjustedP }) => adjustedP !== null)
  const rows = deciding.map((effect) => {
    const { name, unit, low, high, shift, outcome } = effect
    const cells = [name, valueText(effect.before, unit), valueText(effect.after, unit)]
    return `| ${[...cells, `${shiftText(shift, unit)} ${intervalText(low, high, unit)}`, MARK[outcome]].join(' | ')} |`
  })
  return `${[
    ...head,
    safe(details.join(' ')),
    '',
    `| | ${safe(before.label)} | ${safe(after.label)} | shift | |`,
    '| --- | ---: | ---: | ---: | --- |',
    ...rows,
    '',
    ...attributions.map((attribution) => `- ${attributionText(attribution)}`),
    ...(cause === null ? [] : ['', `Likely cause: ${safe(cause)}.${next === null ? '' : ` Next: ${next}`}`]),
    '',
    '<details><summary>May they be compared?</summary>',
    '',
    ...compared,
    '',
    '</details>',
  ].join('\n')}\n`
}
