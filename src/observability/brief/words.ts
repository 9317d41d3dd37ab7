/** Sentences of a brief, and the numbers in them. */
import type { Words } from '../../core/live.ts'

export const say = (text: string): Words => ({ text })
export const strong = (text: string, to?: string): Words => ({ text, strong: true, ...(to !== undefined && { to }) })
export const link = (text: string, to: string): Words => ({ text, to })

export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`
  if (ms < 60_000) return `${Math.round(ms / 1_000)} s`
  return plural(Math.round(ms / 60_000), 'minute')
}

export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en-US')} ${n === 1 ? one : many}`

export const percent = (share: number): string =>
  `${share > 0.9 && share < 1 ? Math.floor(share * 1_000) / 10 : Math.round(share * 100)}%`

/** "a, b and c" */
export function listed(parts: ReadonlyArray<readonly Words[]>): Words[] {
  return parts.flatMap((part, i) => {
    if (i === 0) return part
    return [say(i === parts.length - 1 ? ' and ' : ', '), ...part]
  })
}

export const textOf = (words: readonly Words[]): string => words.map(({ text }) => text).join('')
