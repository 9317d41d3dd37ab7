/** Numbers for people: two to four digits, "304 ms", "4.1 s", "18.2 ms", "99.7%"; "–" for none. */
import type { EffectUnit } from '../core/comparison.ts'

const MINUS = '−'

/** Digits that tell something: 3 of them, and no more than two decimals. */
function digits(value: number): string {
  const size = Math.abs(value)
  if (size >= 1_000) return Math.round(size).toLocaleString('en-US')
  return size >= 100
    ? size.toFixed(0)
    : size >= 10
      ? size.toFixed(1)
      : size >= 0.995
        ? size.toFixed(1)
        : size.toFixed(2)
}

const signOf = (value: number, text: string): string => (value < 0 && /[1-9]/.test(text) ? MINUS : '')

const withSign = (value: number, text: string): string => `${signOf(value, text)}${text}`

/** "312 ms", "4.1 s", "2.3 min" */
export function msText(ms: number): string {
  const size = Math.abs(ms)
  const text =
    size >= 120_000
      ? `${digits(size / 60_000)} min`
      : size >= 1_000
        ? `${(size / 1_000).toFixed(size < 10_000 ? 2 : 1)} s`
        : size >= 10
          ? `${size.toFixed(0)} ms`
          : size < 0.05
            ? '0 ms'
            : `${size.toFixed(1)} ms`
  return withSign(ms, text)
}

/** A time per token or character: "18.2 ms" */
export const paceText = (ms: number): string => withSign(ms, `${digits(ms)} ms`)

export const percentText = (share: number): string => {
  const size = Math.abs(share) * 100
  const text = `${size >= 10 ? size.toFixed(0) : size.toFixed(1).replace('.0', '')}%`
  return withSign(share, text)
}

/** A value of an effect, in its unit. */
export function valueText(value: number, unit: EffectUnit): string {
  switch (unit) {
    case 'ms':
      return msText(value)
    case 'ms/token':
    case 'ms/char':
      return paceText(value)
    case 'share':
      return percentText(value)
    case 'tokens/s':
      return withSign(value, digits(value))
  }
}

/** The same with a plus: "+480 ms", "−3%", "0 ms" */
export function shiftText(value: number, unit: EffectUnit): string {
  const text = valueText(value, unit)
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text
}

/** "[+431, +533]": the unit stands once before it. */
export const intervalText = (low: number | null, high: number | null, unit: EffectUnit): string =>
  low === null || high === null ? '[too few rounds]' : `[${shiftText(low, unit)}, ${shiftText(high, unit)}]`

/** "p=0.008" */
export const pText = (p: number): string => (p < 0.001 ? 'p<0.001' : `p=${p.toPrecision(2)}`)
