/** A line without axes; the same scale down a column where `max` is given. */
interface SparklineProps {
  readonly values: readonly (number | null)[]
  /** Dotted. */
  readonly goal?: number | null
  readonly width?: number
  readonly height?: number
  readonly min?: number
  readonly max?: number
  readonly tone?: 'water' | 'warn' | 'sand' | 'slate'
}

/** Pieces without gaps, as points. */
export function piecesOf(
  values: readonly (number | null)[],
  x: (at: number) => number,
  y: (value: number) => number,
): readonly string[][] {
  const pieces: string[][] = []
  let piece: string[] | null = null
  for (const [at, value] of values.entries()) {
    if (value === null) {
      piece = null
      continue
    }
    if (piece === null) {
      piece = []
      pieces.push(piece)
    }
    piece.push(`${x(at).toFixed(1)},${y(value).toFixed(1)}`)
    // One that stands alone would be a line without length
    if (values[at - 1] == null && values[at + 1] == null) piece.push(`${(x(at) + 2).toFixed(1)},${y(value).toFixed(1)}`)
  }
  return pieces
}

const xOf = (point: string | undefined): string => point?.split(',')[0] ?? ''

export function Sparkline({
  values,
  goal = null,
  width = 180,
  height = 28,
  min = 0,
  max,
  tone = 'water',
}: SparklineProps) {
  const known = values.filter((value) => value !== null)
  const top = Math.max(max ?? 0, ...(max === undefined ? known : []), goal ?? 0) || 1
  const low = Math.min(min, top)
  const x = (at: number): number => (values.length < 2 ? width : (at / (values.length - 1)) * width)
  const y = (value: number): number => 1.5 + (1 - (value - low) / (top * 1.04 - low || 1)) * (height - 3)
  const pieces = piecesOf(values, x, y)
  return (
    <svg class={`spark spark-${tone}`} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      {pieces
        .filter((points) => points.length > 2)
        .map((points) => (
          <polygon
            key={points[0]}
            class="spark-fill"
            points={`${xOf(points[0])},${height} ${points.join(' ')} ${xOf(points.at(-1))},${height}`}
          />
        ))}
      {goal !== null && <line class="spark-goal" x1="0" x2={width} y1={y(goal)} y2={y(goal)} />}
      {pieces.map((points) => (
        <polyline key={points[0]} class="spark-line" points={points.join(' ')} />
      ))}
      {pieces.length === 0 && <line class="spark-none" x1="0" x2={width} y1={height - 1} y2={height - 1} />}
    </svg>
  )
}
