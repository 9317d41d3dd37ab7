/** Numbers as people read them. Null: not known. */

/** "0.8 ms", "312 ms", "1.4 s", "2 min" */
export function milliseconds(ms: number | null): string {
  if (ms === null) return '-'
  const size = Math.abs(ms)
  if (size < 0.05) return '0 ms'
  if (size < 99.95) return `${ms.toFixed(1).replace(/\.0$/, size < 10 ? '.0' : '')} ms`
  if (size < 999.5) return `${ms.toFixed(0)} ms`
  if (size < 9_950) return `${(ms / 1_000).toFixed(1)} s`
  return size < 600_000 ? `${(ms / 1_000).toFixed(0)} s` : `${(ms / 60_000).toFixed(0)} min`
}

/** "94.1%", "100%" */
export function percent(share: number | null): string {
  if (share === null) return '-'
  const text = (share * 100).toFixed(1)
  return `${text.replace(/\.0$/, '')}%`
}

/** Groups of three by narrow spaces: "1 240". */
export function whole(number: number | null): string {
  return number === null
    ? '-'
    : Math.round(number)
        .toString()
        .replace(/\B(?=(\d{3})+$)/g, ' ')
}

/** Three digits that matter: "4.99", "12.3", "128". */
export function figure(number: number | null): string {
  if (number === null) return '-'
  const size = Math.abs(number)
  return size >= 100 ? whole(number) : number.toFixed(size >= 10 ? 1 : 2)
}

const BARS = '▁▂▃▄▅▆▇█'

/** The last `width` values as bars; nulls as blanks. */
export function sparkline(values: readonly (number | null)[], width: number): string {
  const shown = values.slice(-width)
  const known = shown.filter((value) => value !== null)
  const most = known.length === 0 ? 0 : Math.max(...known)
  const bar = (value: number): string => BARS[most === 0 ? 0 : Math.min(7, Math.floor((value / most) * 7.999))]
  return shown.map((value) => (value === null ? ' ' : bar(value))).join('')
}
