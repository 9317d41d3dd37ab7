import type { ComponentChildren } from 'preact'
import type { Amount } from '../format.ts'
import { Mark } from './mark.tsx'
import { Term } from './panel.tsx'
import { Sparkline } from './sparkline.tsx'

interface FigureProps {
  readonly label: string
  /** From the glossary, on hover and focus of the label. */
  readonly meaning?: string
  /** Its goal, or what the number is of. */
  readonly note: ComponentChildren
  readonly amount: Amount
  readonly isWell?: boolean
  readonly spark: readonly (number | null)[]
  readonly goal?: number | null
  readonly min?: number
  readonly tone?: 'water' | 'sand' | 'slate'
  readonly to?: string
}

/** One of the figures on top of Now: a number is no help without its goal. */
export function Figure({
  label,
  meaning,
  note,
  amount,
  isWell = true,
  spark,
  goal,
  min,
  tone = 'water',
  to,
}: FigureProps) {
  const value = (
    <>
      {!isWell && <Mark shape="warn" label="misses its goal" size={11} />}
      <b>{amount.value}</b>
      {amount.unit !== '' && <span class="figure-unit">{amount.unit}</span>}
    </>
  )
  return (
    <div class={`figure ${isWell ? '' : 'figure-warn'}`}>
      <div class="figure-head">
        <Term of={meaning}>{label}</Term>
        <span class="figure-note">{note}</span>
      </div>
      {to === undefined ? (
        <div class="figure-value">{value}</div>
      ) : (
        <a class="figure-value" href={to}>
          <span class="for-readers">{label} </span>
          {value}
        </a>
      )}
      <Sparkline values={spark} goal={goal ?? null} min={min} tone={isWell ? tone : 'warn'} />
    </div>
  )
}

/** A number over its word: the head of a job, of the playground. */
export const Count = ({
  value,
  tone = 'text',
  children,
}: {
  value: string
  tone?: string
  children: ComponentChildren
}) => (
  <div class="count">
    <b class={tone}>{value}</b>
    <span>{children}</span>
  </div>
)
