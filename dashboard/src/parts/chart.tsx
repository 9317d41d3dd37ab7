/** uPlot in a TimePlot: stacked bars, lines, areas over one axis. It draws; all that answers a hand is TimePlot's. */
import { useLayoutEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { colour, theme } from '../theme.ts'
import { niceMost, timeLabel, timeSplits } from './ticks.ts'
import { type Axis, type AxisMark, endOf } from './time.ts'
import { type PlotBox, type Reading, TimePlot } from './time-plot.tsx'

export interface Bars {
  /** Bottom up. */
  readonly stack: readonly {
    readonly tone: Tone
    readonly values: readonly (number | null)[]
    readonly isHatched?: boolean
  }[]
  readonly startsMs: readonly number[]
  readonly stepMs: number
}

export interface Lines {
  readonly values: readonly (number | null)[]
  readonly tone: Tone
  readonly isFilled?: boolean
  readonly isDashed?: boolean
}

export type Tone =
  | '--water'
  | '--sand'
  | '--blue'
  | '--plum'
  | '--slate'
  | '--bad'
  | '--warn'
  | '--text'
  | '--muted'
  | '--faint'

export interface ChartProps {
  readonly axis: Axis
  readonly label: string
  readonly height: number
  readonly bars?: Bars
  readonly lines?: readonly Lines[]
  readonly goal?: { readonly value: number; readonly words?: string } | null
  readonly marks: readonly AxisMark[]
  readonly hasWords?: boolean
  /** Of the y axis; it starts at 0 unless told. */
  readonly min?: number
  readonly max?: number
  /** `isTop`: the highest one, which has the unit. */
  readonly ticks: (value: number, isTop: boolean) => string
  readonly read: (bucket: number) => readonly Reading[]
  /** Told where a value is drawn, after each drawing: for labels beside it. */
  readonly onScale?: (yOf: (value: number) => number) => void
}

const LEFT = 36
const BOTTOM = 28
const FONT = '400 11.5px Inter, system-ui, sans-serif'

export function TimeChart(props: ChartProps) {
  const top = props.marks.length > 0 || props.hasWords ? 20 : 10
  return (
    <TimePlot
      axis={props.axis}
      label={props.label}
      height={props.height}
      left={LEFT}
      right={1}
      top={top}
      bottom={BOTTOM}
      marks={props.marks}
      hasWords={props.hasWords}
      barMs={props.bars?.stepMs}
      read={props.read}
    >
      {(box) => <Drawn {...props} box={box} top={top} />}
    </TimePlot>
  )
}

/** Columns for uPlot on one x: bars at their middles, lines at theirs. */
function dataOf({ axis, bars, lines = [] }: ChartProps): uPlot.AlignedData {
  const points = new Map<number, (number | null | undefined)[]>()
  const width = (bars?.stack.length ?? 0) + lines.length
  // Null is a gap; undefined, where another column has its points
  const at = (ms: number): (number | null | undefined)[] => {
    const x = ms / 1_000
    let row = points.get(x)
    if (row === undefined) {
      row = Array.from({ length: width })
      points.set(x, row)
    }
    return row
  }
  if (bars !== undefined)
    for (const [bar, startMs] of bars.startsMs.entries()) {
      let sum: number | null = null
      const row = at(startMs + bars.stepMs / 2)
      for (const [part, { values }] of bars.stack.entries()) {
        const value = values[bar]
        if (value !== null) sum = (sum ?? 0) + value
        // The highest sum is drawn first, and the lower ones over it
        row[bars.stack.length - 1 - part] = sum
      }
    }
  const first = bars?.stack.length ?? 0
  for (const [line, { values }] of lines.entries())
    for (let bucket = 0; bucket < axis.buckets; bucket++)
      at(axis.startMs + (bucket + 0.5) * axis.stepMs)[first + line] = values[bucket] ?? null
  const xs = [...points.keys()].sort((one, other) => one - other)
  return [xs, ...Array.from({ length: width }, (_, column) => xs.map((x) => points.get(x)?.[column]))]
}

function Drawn(props: ChartProps & { readonly box: PlotBox; readonly top: number }) {
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(props)
  latest.current = props
  const { bars, lines = [], box, axis, min, max } = props
  const shape = JSON.stringify([
    theme.value,
    props.top,
    bars?.stepMs,
    bars?.stack.map(({ tone, isHatched }) => [tone, isHatched]),
    lines.map(({ tone, isFilled, isDashed }) => [tone, isFilled, isDashed]),
  ])

  useLayoutEffect(() => {
    if (host.current === null) return
    plot.current = new uPlot(optionsOf(latest), dataOf(latest.current), host.current)
    return () => plot.current?.destroy()
  }, [shape])
  useLayoutEffect(() => {
    plot.current?.setSize({ width: box.width, height: box.height })
  }, [box.width, box.height])
  useLayoutEffect(() => {
    plot.current?.setData(dataOf(latest.current), true)
  }, [bars, lines, axis.startMs, axis.buckets, axis.stepMs, min, max])
  return <div ref={host} class="uplot-host" aria-hidden="true" />
}

function optionsOf(latest: {
  readonly current: ChartProps & { readonly box: PlotBox; readonly top: number }
}): uPlot.Options {
  const { box, bars, lines = [], top } = latest.current
  const stack = bars?.stack ?? []
  const grid = { stroke: colour('--grid'), width: 1 }
  const text = { stroke: colour('--faint'), font: FONT, ticks: { show: false } }
  return {
    width: box.width,
    height: box.height,
    padding: [top, 1, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: {
        time: false,
        range: () => [latest.current.axis.startMs / 1_000, endOf(latest.current.axis) / 1_000],
      },
      y: {
        range: (_, low, high) => {
          const { min = 0, max, goal } = latest.current
          const most = max ?? Math.max(high ?? 0, goal?.value ?? 0)
          return [Math.min(min, low ?? min), max ?? niceMost(most)]
        },
      },
    },
    axes: [
      {
        ...text,
        size: BOTTOM,
        gap: 8,
        space: 64,
        grid: { show: false },
        border: { show: true, stroke: colour('--line'), width: 1 },
        splits: (_, __, from, to) =>
          timeSplits(from * 1_000, to * 1_000, latest.current.box.width).map((ms) => ms / 1_000),
        values: (_, splits) =>
          splits.map((x) => timeLabel(x * 1_000, endOf(latest.current.axis) - latest.current.axis.startMs)),
      },
      {
        ...text,
        size: LEFT,
        gap: 6,
        space: 30,
        grid,
        values: (_, splits) => splits.map((value, at) => latest.current.ticks(value, at === splits.length - 1)),
      },
    ],
    series: [
      {},
      ...[...stack].reverse().map(
        ({ tone, isHatched }): uPlot.Series => ({
          fill: isHatched ? (u) => hatched(u.ctx, colour(tone)) : colour(tone),
          width: 0,
          points: { show: false },
          paths: barsPath(bars?.stepMs ?? 1_000),
        }),
      ),
      ...lines.map(
        ({ tone, isFilled, isDashed }): uPlot.Series => ({
          stroke: colour(tone),
          width: 1.5,
          ...(isFilled && { fill: `color-mix(in srgb, ${colour(tone)} 14%, transparent)` }),
          ...(isDashed && { dash: [4, 3] }),
          points: { show: true, size: 4, fill: colour(tone), stroke: colour(tone), filter: alone },
          spanGaps: false,
        }),
      ),
    ],
    hooks: {
      draw: [
        (u) => {
          const { goal, onScale } = latest.current
          if (goal != null) drawGoal(u, goal.value, goal.words)
          onScale?.((value) => u.valToPos(value, 'y'))
        },
      ],
    },
  }
}

/** A line needs two points: one that has a gap on both sides is a dot. */
const alone: uPlot.Series.Points.Filter = (u, series) => {
  const column: readonly (number | null | undefined)[] = Array.from(u.data[series] ?? [])
  const known = column.flatMap((value, at) => (value === undefined ? [] : [{ value, at }]))
  return known.flatMap(({ value, at }, index) =>
    value !== null && known[index - 1]?.value == null && known[index + 1]?.value == null ? [at] : [],
  )
}

/** Bars of `stepMs` with a pixel of air between them. */
const barsPath =
  (stepMs: number): uPlot.Series.PathBuilder =>
  (u, series, from, to) => {
    const path = new Path2D()
    const [xs] = u.data
    const values = u.data[series]
    const zero = u.valToPos(Math.max(0, u.scales['y']?.min ?? 0), 'y', true)
    const { left, width } = u.bbox
    const half = stepMs / 2_000
    const air = Math.max(1, Math.round(devicePixelRatio))
    for (let at = from; at <= to; at++) {
      const value = values[at]
      if (value == null || value <= 0) continue
      const x0 = Math.max(left, Math.round(u.valToPos(xs[at] - half, 'x', true)))
      const x1 = Math.min(left + width, Math.round(u.valToPos(xs[at] + half, 'x', true)))
      const y = u.valToPos(value, 'y', true)
      if (x1 - x0 > 0) path.rect(x0, y, Math.max(1, x1 - x0 - (x1 - x0 > 3 * air ? air : 0)), zero - y)
    }
    return { fill: path, stroke: null, clip: null, band: null, flags: 1 }
  }

function drawGoal(u: uPlot, value: number, words: string | undefined): void {
  const { ctx, bbox } = u
  const y = Math.round(u.valToPos(value, 'y', true))
  if (y < bbox.top || y > bbox.top + bbox.height) return
  const ratio = devicePixelRatio
  ctx.save()
  ctx.strokeStyle = colour('--text')
  ctx.globalAlpha = 0.75
  ctx.lineWidth = ratio
  ctx.setLineDash([1.5 * ratio, 3 * ratio])
  ctx.beginPath()
  ctx.moveTo(bbox.left, y)
  ctx.lineTo(bbox.left + bbox.width, y)
  ctx.stroke()
  ctx.globalAlpha = 1
  if (words !== undefined) {
    ctx.font = `500 ${11.5 * ratio}px Inter, system-ui, sans-serif`
    ctx.textAlign = 'left'
    ctx.textBaseline = 'bottom'
    const wide = ctx.measureText(words).width
    ctx.fillStyle = colour('--ground')
    ctx.globalAlpha = 0.7
    ctx.fillRect(bbox.left + 2 * ratio, y - 16 * ratio, wide + 6 * ratio, 14 * ratio)
    ctx.globalAlpha = 1
    ctx.fillStyle = colour('--text')
    ctx.fillText(words, bbox.left + 4 * ratio, y - 3 * ratio)
  }
  ctx.restore()
}

const patterns = new Map<string, CanvasPattern | null>()

/** Hatching, for what is there but not as the rest is: canceled, held, unexplained. */
export function hatched(ctx: CanvasRenderingContext2D, tone: string): CanvasPattern | string {
  const ratio = Math.max(1, Math.round(devicePixelRatio))
  const id = `${tone} ${ratio}`
  let pattern = patterns.get(id)
  if (pattern === undefined) {
    const size = 5 * ratio
    const tile = new OffscreenCanvas(size, size)
    const pen = tile.getContext('2d')
    if (pen !== null) {
      pen.fillStyle = colour('--ground')
      pen.fillRect(0, 0, size, size)
      pen.strokeStyle = tone
      pen.lineWidth = 1.6 * ratio
      for (const by of [-size, 0, size]) {
        pen.moveTo(by, size)
        pen.lineTo(by + size, 0)
      }
      pen.stroke()
    }
    pattern = ctx.createPattern(tile, 'repeat')
    patterns.set(id, pattern)
  }
  return pattern ?? tone
}
