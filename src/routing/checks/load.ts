/** How much an engine has to do, as its own numbers tell (Prometheus' text format). Pure, and linear in the text. */

export interface EngineLoad {
  /** Requests; null: it does not tell. */
  readonly running: number | null
  readonly waiting: number | null
}

const RUNNING: ReadonlySet<string> = new Set([
  'vllm:num_requests_running',
  'sglang:num_running_reqs',
  'llamacpp:requests_processing',
  'tgi_batch_current_size',
])
const WAITING: ReadonlySet<string> = new Set([
  'vllm:num_requests_waiting',
  'sglang:num_queue_reqs',
  'llamacpp:requests_deferred',
  'tgi_queue_size',
])
/** All names that are looked for begin with one of these letters. */
const FIRST: ReadonlySet<string> = new Set([...RUNNING, ...WAITING].map((name) => name[0]))
const MOST = 1_000_000

/** Several series of a name are added up: of several models, or of several ranks. */
export function loadIn(text: string): EngineLoad {
  let running: number | null = null
  let waiting: number | null = null
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    if (FIRST.has(text[at])) {
      const name = nameAt(text, at, end)
      if (RUNNING.has(name)) running = added(running, valueIn(text, at + name.length, end))
      else if (WAITING.has(name)) waiting = added(waiting, valueIn(text, at + name.length, end))
    }
    at = end + 1
  }
  return { running, waiting }
}

/** Up to its labels, or its value. */
function nameAt(text: string, from: number, to: number): string {
  for (let at = from; at < to; at++) {
    const c = text[at]
    if (c === '{' || c === ' ' || c === '\t') return text.slice(from, at)
  }
  return ''
}

/** Behind the labels, whose values may hold anything that is quoted; a time stamp may follow. NaN: there is none. */
function valueIn(text: string, from: number, to: number): number {
  let at = from
  if (text[at] === '{') {
    let isQuoted = false
    for (at++; at < to && (isQuoted || text[at] !== '}'); at++) {
      if (text[at] === '\\') at++
      else if (text[at] === '"') isQuoted = !isQuoted
    }
    at++
  }
  const [, digits] = /^[ \t]+([\d.eE+]{1,24})(?:[ \t]|\r?$)/.exec(text.slice(at, Math.min(to, at + 64))) ?? []
  return digits === undefined ? Number.NaN : Number(digits)
}

const added = (sum: number | null, value: number): number | null =>
  value >= 0 ? Math.min(MOST, (sum ?? 0) + Math.round(Math.min(MOST, value))) : sum
