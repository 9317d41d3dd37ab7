import type { TtftPart, TtftParts } from '../../../src/core/measure.ts'
import { duration } from '../format.ts'

interface BulletProps {
  /** All are shares of one whole, 0 to 1. */
  readonly used: number
  /** Hatched, after what is used. */
  readonly held?: number
  /** What is due, or a goal. */
  readonly tick?: number | null
  readonly tone?: 'water' | 'warn' | 'bad' | 'slate' | 'sand'
  readonly label: string
  readonly width?: number
}

const share = (value: number): string => `${(Math.min(1, Math.max(0, value)) * 100).toFixed(2)}%`

/** How near a limit something is: used, held, and a tick. */
export const Bullet = ({ used, held = 0, tick = null, tone = 'water', label, width }: BulletProps) => (
  <span
    class={`bullet tone-${tone}`}
    role="img"
    aria-label={label}
    style={{
      '--used': share(used),
      '--held': share(Math.min(held, 1 - Math.min(1, used))),
      ...(tick !== null && { '--tick': share(tick) }),
      ...(width !== undefined && { '--width': `${width}px` }),
    }}
  >
    <i class="bullet-used" />
    {held > 0 && <i class="bullet-held" />}
    {tick !== null && <i class="bullet-tick" />}
  </span>
)

/** The parts of TTFT in the order of the path, with the colour of each and the word that people read. */
export const PHASES = [
  ['admission', 'slate', 'Sluice'],
  ['queue', 'sand', 'queue'],
  ['retries', 'bad', 'failed attempts'],
  ['routing', 'slate', 'Sluice'],
  ['connect', 'plum', 'connect'],
  ['upstream', 'blue', 'upstream'],
  ['delivery', 'slate', 'Sluice'],
] as const satisfies readonly (readonly [TtftPart, string, string])[]

/** TTFT as one bar; `ofMs` is as wide as it may get, so that rows can be compared. */
export function PhaseBar({ parts, ofMs }: { readonly parts: Partial<TtftParts>; readonly ofMs: number }) {
  const known = PHASES.flatMap(([part, tone, word]) => {
    const ms = parts[part] ?? 0
    return ms > 0 ? [{ part, tone, word, ms }] : []
  })
  return (
    <span
      class="phases"
      role="img"
      aria-label={known.map(({ word, ms }) => `${word} ${duration(ms)}`).join(', ')}
      title={known.map(({ word, ms }) => `${word} ${duration(ms)}`).join(' · ')}
    >
      {known.map(({ part, tone, ms }) => (
        <i key={part} class={`phase-${tone}`} style={{ '--of': share(ms / ofMs) }} />
      ))}
    </span>
  )
}
