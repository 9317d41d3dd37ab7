/** A comparison as one offline page: no script, no request; its charts are SVG, and each is told in words too. */
import type { Attribution, Comparison, Effect, Part } from '../core/comparison.ts'
import { attributionText } from './compare-text.ts'
import { intervalText, pText, shiftText, valueText } from './words.ts'

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

const WORD: Readonly<Record<Effect['outcome'], string>> = {
  worse: '▲ worse',
  better: '● better',
  'no-change': '= no change',
  'cant-tell': '? can’t tell',
}

/** Colour is the phase of a generation, as on the dashboard. */
const COLOR: Readonly<Record<Part, string>> = {
  queue: 'var(--sand)',
  contention: 'var(--sand)',
  prefill: 'var(--blue)',
  decode: 'var(--water)',
  network: 'var(--plum)',
  gateway: 'var(--slate)',
  delivery: 'var(--plum)',
  retries: 'var(--bad)',
  unexplained: 'url(#hatch)',
}

const STYLE = `
:root{color-scheme:light dark;--ground:#f4f6f4;--text:#0f1d1e;--muted:#445658;--line:#d8dfdc;--band:#c5cecc;
--sand:#a67a00;--blue:#1764ed;--water:#006e57;--plum:#cb4ea2;--slate:#4b5058;--warn:#9e4914;--bad:#8a0a20}
@media (prefers-color-scheme:dark){:root{--ground:#0a0f11;--text:#e8efef;--muted:#a3b5b9;--line:#25333a;--band:#2c3a41;
--sand:#f0cf7e;--blue:#5494fa;--water:#4fd3b9;--plum:#b875c1;--slate:#737a86;--warn:#fd934e;--bad:#f94a50}}
body{margin:0 auto;max-width:1040px;padding:28px;background:var(--ground);color:var(--text);
font:13px/20px Inter,system-ui,sans-serif}
h1{font-size:22px;line-height:30px;font-weight:620;margin:0 0 8px}h2{font-size:13px;font-weight:620;margin:28px 0 8px}
p{margin:0 0 8px;color:var(--muted);max-width:75ch}section{border-top:1px solid var(--line);overflow-x:auto}
table{border-collapse:collapse;width:100%}td,th{padding:6px 12px 6px 0;text-align:left;border-bottom:1px solid
var(--line);font-weight:400;white-space:nowrap}th{color:var(--muted)}td.n,th.n{text-align:right;font-variant-numeric:
tabular-nums}.worse,.differs{color:var(--warn);font-weight:620}.better{color:var(--water);font-weight:620}
svg{display:block}text{fill:var(--muted);font-size:11.5px}`

const CHART_WIDTH = 240
const ROW_HEIGHT = 26

/** What does not decide has no verdict to be told by a colour. */
function colorOf({ outcome, adjustedP }: Effect): string {
  if (adjustedP === null) return 'var(--muted)'
  return outcome === 'worse' ? 'var(--warn)' : outcome === 'better' ? 'var(--water)' : 'var(--muted)'
}

/** Intervals as shares of before, against the band. */
function intervalSvg(effect: Effect, reach: number): string {
  const { before, unit, shift, low, high, band } = effect
  // An error's share is compared by points
  const scale = unit === 'share' || before === 0 ? reach / Math.max(band * 4, Math.abs(shift) * 1.5) : 1 / before
  const x = (value: number): number => {
    const share = Math.max(-reach, Math.min(reach, value * scale))
    return Math.round(CHART_WIDTH / 2 + (share / reach) * (CHART_WIDTH / 2 - 8))
  }
  const color = colorOf(effect)
  const whisker =
    low === null || high === null
      ? ''
      : `<path d="M${x(low)} 13H${x(high)}M${x(low)} 8v10M${x(high)} 8v10" stroke="${color}" stroke-width="2"/>`
  const width = Math.max(2, x(band) - x(-band))
  const same = `<rect x="${x(-band)}" width="${width}" height="${ROW_HEIGHT}" fill="var(--band)"/>`
  const zero = `<path d="M${x(0)} 0v${ROW_HEIGHT}" stroke="var(--slate)"/>`
  const text = `${shiftText(shift, unit)} ${intervalText(low, high, unit)}`
  return (
    `<svg width="${CHART_WIDTH}" height="${ROW_HEIGHT}" role="img" aria-label="${escaped(text)}">` +
    `${same}${zero}${whisker}<circle cx="${x(shift)}" cy="13" r="4.5" fill="${color}"/></svg>`
  )
}

function effectsTable({ effects, before, after }: Comparison): string {
  const shares = effects.flatMap(({ unit, low, high, shift, before: base }) =>
    unit === 'share' || base === 0 ? [] : [low ?? shift, high ?? shift].map((value) => Math.abs(value / base)),
  )
  const reach = Math.max(0.2, ...shares) * 1.05
  const rows = effects.map((effect) => {
    const { name, unit, shift, low, high, outcome, adjustedP, p } = effect
    const word = adjustedP === null ? 'beside the verdict' : WORD[outcome]
    return (
      `<tr><td>${name}</td><td class="n">${valueText(effect.before, unit)}</td>` +
      `<td class="n">${valueText(effect.after, unit)}</td><td>${intervalSvg(effect, reach)}</td>` +
      `<td class="n">${shiftText(shift, unit)} ${intervalText(low, high, unit)}</td>` +
      `<td>${pText(adjustedP ?? p)}</td><td class="${adjustedP === null ? '' : outcome}">${word}</td></tr>`
    )
  })
  return (
    `<table><tr><td></td><th class="n">${escaped(before.label)}</th><th class="n">${escaped(after.label)}</th>` +
    `<th>grey band: counts as no change</th><th class="n">shift, 95% interval</th><th>p</th><td></td></tr>` +
    `${rows.join('')}</table>`
  )
}

/** Rounds before and after, each pair a line. */
function slopes(effect: Effect, isPaired: boolean): string {
  const { name, unit, rounds } = effect
  const top = Math.max(...rounds.before, ...rounds.after) * 1.1 || 1
  const y = (value: number): string => (190 - (value / top) * 170).toFixed(1)
  const color = colorOf(effect)
  const dots = (values: readonly number[], x: number): string =>
    values.map((value) => `<circle cx="${x}" cy="${y(value)}" r="3.5" fill="${color}"/>`).join('')
  const lines = isPaired
    ? rounds.before
        .map((value, i) => `<path d="M60 ${y(value)}L340 ${y(rounds.after[i])}" stroke="${color}" fill="none"/>`)
        .join('')
    : ''
  const rose = rounds.after.filter((value, i) => value > rounds.before[i]).length
  const text = isPaired ? `${rose} of ${rounds.before.length} rounds rose` : 'rounds that are no pairs'
  return (
    `<h2>Round by round: ${name}</h2><p>${text}; the axis begins at 0 and ends at ${valueText(top, unit)}.</p>` +
    `<svg width="400" height="216" role="img" aria-label="${escaped(`${name}: ${text}`)}">` +
    `<path d="M40 190H360M40 20H360" stroke="var(--line)"/>` +
    `${lines}${dots(rounds.before, 60)}${dots(rounds.after, 340)}` +
    `<text x="40" y="210">before</text><text x="328" y="210">after</text></svg>`
  )
}

function makeup(attribution: Attribution): string {
  const size = attribution.parts.reduce((sum, { deltaMs }) => sum + Math.abs(deltaMs), 0) || 1
  let x = 0
  const bars = attribution.parts
    .map(({ part, deltaMs }) => {
      const width = (Math.abs(deltaMs) / size) * 680
      const shown = Math.max(0, width - 1).toFixed(1)
      const bar = `<rect x="${x.toFixed(1)}" width="${shown}" height="22" fill="${COLOR[part]}"/>`
      x += width
      return bar
    })
    .join('')
  const text = attributionText(attribution)
  return `<p>${escaped(text)}</p><svg width="680" height="26" role="img" aria-label="${escaped(text)}">${bars}</svg>`
}

const HATCH =
  '<svg width="0" height="0" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" patternTransform=' +
  '"rotate(45)" patternUnits="userSpaceOnUse"><rect width="3" height="6" fill="var(--slate)"/></pattern></defs></svg>'

const SHAPE = { same: '●', warns: '▲', unknown: '○', differs: '■' } as const

export function htmlOf(comparison: Comparison): string {
  const { sentence, details, effects, attributions, checks, cause, next, before, after, method } = comparison
  // Of what changed, if anything did
  const isChanged = ({ outcome, adjustedP }: Effect): boolean =>
    adjustedP !== null && (outcome === 'worse' || outcome === 'better')
  const first = effects.find(isChanged) ?? effects[0]
  const compared = checks
    .map(
      ({ state, title, text }) =>
        `<tr><td class="${state}">${SHAPE[state]} ${title}</td><td>${escaped(text)}</td></tr>`,
    )
    .join('')
  const found =
    comparison.verdict === 'not-comparable'
      ? ''
      : `<section tabindex="0"><h2>What changed, and by how much</h2>${effectsTable(comparison)}</section>` +
        (first === undefined ? '' : `<section tabindex="0">${slopes(first, method.test === 'paired')}</section>`) +
        `<section tabindex="0"><h2>Where it went</h2>${attributions.map(makeup).join('')}</section>`
  const runs = [before, after]
    .map(
      ({ label, target, model, load, rounds, requests, startedAtMs }) =>
        `<tr><td>${escaped(label)}</td><td>${escaped(target)}</td><td>${escaped(model)}</td><td>${escaped(load)}</td>` +
        `<td>${rounds} rounds, ${requests} requests</td><td>${new Date(startedAtMs).toISOString()}</td></tr>`,
    )
    .join('')
  const why = [cause === null ? null : `Likely cause: ${cause}.`, next === null ? null : `Next: ${next}`]
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'">` +
    `<title>${escaped(`${after.label} vs ${before.label}`)}</title><style>${STYLE}</style></head><body>${HATCH}` +
    `<main><h1>${escaped(sentence)}</h1>` +
    [...details, ...why].map((text) => (text === null ? '' : `<p>${escaped(text)}</p>`)).join('') +
    `${found}<section tabindex="0"><h2>May they be compared?</h2><table>${compared}</table></section>` +
    `<section tabindex="0"><h2>Runs</h2><table>${runs}</table></section></main></body></html>\n`
  )
}
