/** The address is the state: page, range, filters, selection. So any view can be sent to a colleague. */
import { signal } from '@preact/signals'
import type { Range, RangeName } from '../../src/core/live.ts'

export interface Address {
  readonly path: string
  readonly params: URLSearchParams
}

const read = (): Address => ({ path: location.pathname, params: new URLSearchParams(location.search) })

export const address = signal<Address>(globalThis.location ? read() : { path: '/', params: new URLSearchParams() })

/** What a view keeps when one goes to another page. */
const KEPT = ['range', 'from', 'to', 'node']

/** "/jobs?kind=late", with the range and the node of where one is. */
export function hrefOf(to: string, params = address.value.params): string {
  const [path, query = ''] = to.split('?', 2)
  const next = new URLSearchParams(query)
  const hasRange = next.has('range') || next.has('from')
  for (const name of KEPT) {
    const value = params.get(name)
    if (value !== null && !next.has(name) && (name === 'node' || !hasRange)) next.set(name, value)
  }
  const text = next.toString()
  return text === '' ? path : `${path}?${text}`
}

export function go(to: string, { replace = false } = {}): void {
  const href = hrefOf(to)
  const isOther = href.split('?')[0] !== location.pathname
  history[replace ? 'replaceState' : 'pushState'](null, '', href)
  address.value = read()
  if (isOther) scrollTo(0, 0)
}

/** Sets some of the address's parameters; null takes one away. Without an entry in the history. */
export function setParams(changes: Readonly<Record<string, string | null>>): void {
  const params = new URLSearchParams(location.search)
  for (const [name, value] of Object.entries(changes)) value === null ? params.delete(name) : params.set(name, value)
  const query = params.toString()
  history.replaceState(null, '', query === '' ? location.pathname : `?${query}`)
  address.value = read()
}

/** "/jobs/:job" and "/jobs/a%2Fb" → {job: "a/b"}; null: they don't match. */
export function match(pattern: string, path: string): Readonly<Record<string, string>> | null {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (given.length > 1 && given.at(-1) === '') given.pop()
  if (wanted.length > 1 && wanted.at(-1) === '') wanted.pop()
  if (wanted.length !== given.length) return null
  const found: Record<string, string> = {}
  for (const [at, part] of wanted.entries()) {
    if (!part.startsWith(':')) {
      if (part !== given[at]) return null
      continue
    }
    try {
      found[part.slice(1)] = decodeURIComponent(given[at])
    } catch {
      return null
    }
  }
  return found
}

export const RANGES: readonly RangeName[] = ['15m', '1h', '6h', '24h', '7d']
export const RANGE_WORDS: Readonly<Record<RangeName, string>> = {
  '15m': '15 min',
  '1h': '1 h',
  '6h': '6 h',
  '24h': '24 h',
  '7d': '7 d',
}
export const RANGE_MS: Readonly<Record<RangeName, number>> = {
  '15m': 900_000,
  '1h': 3_600_000,
  '6h': 21_600_000,
  '24h': 86_400_000,
  '7d': 604_800_000,
}

export function rangeOf(params: URLSearchParams): Range {
  const fromMs = Number(params.get('from'))
  const toMs = Number(params.get('to'))
  if (Number.isFinite(fromMs) && Number.isFinite(toMs) && fromMs > 0 && toMs - fromMs >= 1_000) return { fromMs, toMs }
  const named = RANGES.find((name) => name === params.get('range'))
  return named ?? '15m'
}

export function setRange(range: Range): void {
  setParams(
    typeof range === 'string'
      ? { range: range === '15m' ? null : range, from: null, to: null }
      : { range: null, from: String(Math.round(range.fromMs)), to: String(Math.round(range.toMs)) },
  )
}

/** The range before (-1) or after (1) this one; what would reach into the future is the live one again. */
export function shifted(range: Range, by: -1 | 1, nowMs: number): Range {
  const span = typeof range === 'string' ? RANGE_MS[range] : range.toMs - range.fromMs
  const endMs = typeof range === 'string' ? nowMs : range.toMs
  const toMs = endMs + by * span
  if (toMs < nowMs) return { fromMs: toMs - span, toMs }
  return RANGES.find((name) => RANGE_MS[name] >= span) ?? '7d'
}

/** Links are plain anchors: the browser opens them in a new tab when asked to, and we follow the rest. */
export function followLinks(): void {
  addEventListener('popstate', () => {
    address.value = read()
  })
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return
    const link = (event.target as Element).closest('a')
    const href = link?.getAttribute('href')
    if (!href?.startsWith('/') || link?.target || link?.hasAttribute('download')) return
    event.preventDefault()
    go(href)
  })
}
