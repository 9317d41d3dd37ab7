/**
 * Numbers as Prometheus scrapes them: its text format 0.0.4, or OpenMetrics 1.0. Made in slices, with a turn of the
 * event loop between two of them: all streams would wait for a large one (prom-client#543).
 */
import type { Labels } from '../../core/numbers.ts'
import type { Reading } from '../registry.ts'
import { boundsOf, type Exposed, exposed, isExposed } from './names.ts'

export type Form = 'text' | 'openmetrics'

export const CONTENT_TYPES: Readonly<Record<Form, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/** What a scraper prefers, by its `accept`. */
export const formOf = (accept: string | undefined): Form =>
  /\bapplication\/openmetrics-text\b/i.test(accept ?? '') ? 'openmetrics' : 'text'

/** Characters after which the event loop gets its turn: a tenth of a millisecond of work, or so. */
const SLICE = 16 * 1024

type HistogramReading = Extract<Reading, { kind: 'histogram' }>
type ValueReading = Exclude<Reading, HistogramReading>

/** `turn` resolves in a later turn of the event loop. */
export async function* exposition(
  readings: readonly Reading[],
  form: Form,
  turn: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  let text = ''
  for (const [name, series] of Map.groupBy(readings.filter(isExposed), ({ name }) => name)) {
    const [{ kind }] = series
    const as = exposed(name)
    text += headOf(as, series[0], form)
    for (const reading of series) {
      // Processes of different versions may disagree on a number's kind: then the first one counts
      if (reading.kind !== kind) continue
      text += reading.kind === 'histogram' ? histogramLines(as, name, reading, form) : valueLine(as, reading, form)
      if (text.length < SLICE) continue
      yield Buffer.from(text)
      text = ''
      await turn()
    }
  }
  yield Buffer.from(form === 'openmetrics' ? `${text}# EOF\n` : text)
}

/** In OpenMetrics a counter's family has no `_total`, in the older format it has. */
function headOf({ name, unit }: Exposed, { kind, help }: Reading, form: Form): string {
  const family = kind === 'counter' && form === 'text' ? `${name}_total` : name
  const unitLine = form === 'openmetrics' && unit !== '' ? `# UNIT ${family} ${unit}\n` : ''
  return `# HELP ${family} ${escapeHelp(help)}.\n# TYPE ${family} ${kind}\n${unitLine}`
}

const valueLine = ({ name, scale }: Exposed, { kind, labels, value }: ValueReading, form: Form): string =>
  `${name}${kind === 'counter' ? '_total' : ''}${labelsOf(labels)} ${numberOf(value * scale, form)}\n`

function histogramLines({ name, scale }: Exposed, ours: string, reading: HistogramReading, form: Form): string {
  const { buckets, sum, labels } = reading
  const { upper, of } = boundsOf(ours, scale)
  const counts = new Float64Array(upper.length + 1)
  for (let i = 0; i < buckets.length; i++) counts[of[i] ?? upper.length] += buckets[i]
  const members = membersOf(labels)
  const opening = `${name}_bucket{${members}${members === '' ? '' : ','}le="`
  let lines = ''
  let count = 0
  for (let i = 0; i < upper.length; i++) {
    count += counts[i]
    lines += `${opening}${upper[i]}"} ${count}\n`
  }
  count += counts[upper.length]
  const own = members === '' ? '' : `{${members}}`
  lines += `${opening}+Inf"} ${count}\n${name}_sum${own} ${numberOf(sum * scale, form)}\n`
  return `${lines}${name}_count${own} ${count}\n`
}

const labelsOf = (labels: Labels | undefined): string => (labels === undefined ? '' : `{${membersOf(labels)}}`)

const membersOf = (labels: Labels | undefined): string =>
  labels === undefined ? '' : labels.map(([name, value]) => `${name}="${escapeValue(value)}"`).join(',')

const escapeValue = (value: string): string =>
  /["\\\n]/.test(value) ? value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n') : value
const escapeHelp = (help: string): string => help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')

/** Without the noise of binary fractions. */
function numberOf(value: number, form: Form): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
  if (Number.isSafeInteger(value)) return form === 'openmetrics' ? `${value}.0` : String(value)
  return String(Number(value.toPrecision(12)))
}
