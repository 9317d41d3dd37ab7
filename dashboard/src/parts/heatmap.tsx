/** Time × ms a token, in log rows; how light a cell is tells how many streams. Stalls stand below. */
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import type { Chart } from '../../../src/core/live.ts'
import { count } from '../format.ts'
import { colour, theme } from '../theme.ts'
import { cellsOf, rowOf } from './heat.ts'
import { timeLabel, timeSplits } from './ticks.ts'
import { type AxisMark, axisOf, endOf, type Group, groupsOf, sumOf } from './time.ts'
import { type PlotBox, type Reading, TimePlot } from './time-plot.tsx'

interface HeatmapProps {
  readonly chart: Chart
  readonly goalMs: number
  readonly marks: readonly AxisMark[]
  readonly label: string
  readonly height: number
}

const LEFT = 40
const TOP = 20
const BOTTOM = 28
const STALLS = 22
/** A cell is about so wide. */
const CELL_PX = 9
const TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000]

export function Heatmap({ chart, goalMs, marks, label, height }: HeatmapProps) {
  const axis = axisOf(chart)
  const read = (bucket: number): readonly Reading[] => {
    const cells = chart.heat[bucket] ?? []
    const rows: Reading[] = []
    for (let pair = 0; pair + 1 < cells.length; pair += 2) {
      const row = cells[pair]
      const low = row === 0 ? 0 : chart.heatRows[row - 1]
      const high = chart.heatRows[row]
      rows.push({
        name: high === undefined ? `over ${count(low)} ms` : `${count(low)} to ${count(high)} ms`,
        value: count(cells[pair + 1]),
      })
    }
    // As many columns for each bucket, so that a table can have them: the four with most streams, and the stalls
    return [
      { name: 'p50', value: amount(chart.tpotP50[bucket]) },
      { name: 'p95', value: amount(chart.tpotP95[bucket]) },
      { name: 'stalls', value: count(chart.stalls[bucket] ?? 0) },
      ...rows.slice(0, 5),
    ]
  }
  return (
    <TimePlot
      axis={axis}
      label={label}
      height={height}
      left={LEFT}
      right={1}
      top={TOP}
      bottom={BOTTOM}
      marks={marks}
      hasWords
      read={read}
    >
      {(box) => <Cells chart={chart} goalMs={goalMs} box={box} />}
    </TimePlot>
  )
}

const amount = (ms: number | null | undefined): string => (ms == null ? '–' : `${count(ms)} ms`)

function Cells({ chart, goalMs, box }: { readonly chart: Chart; readonly goalMs: number; readonly box: PlotBox }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const look = theme.value
  const axis = axisOf(chart)
  const { stepMs, groups } = useMemo(
    () => groupsOf(axis, (box.width - LEFT) / CELL_PX),
    [axis.startMs, axis.stepMs, axis.buckets, box.width],
  )
  useLayoutEffect(() => {
    const pen = sized(canvas.current, box)
    if (pen === null) return
    const rows = chart.heatRows.length
    const bottom = box.height - BOTTOM - STALLS
    const rowHeight = (bottom - TOP) / Math.max(1, rows)
    const span = box.width - LEFT - 1
    const endMs = endOf(axis)
    const xOf = (atMs: number): number => LEFT + ((atMs - axis.startMs) / (endMs - axis.startMs)) * span
    const yOf = (row: number): number => bottom - row * rowHeight
    const cells = cellsOf(chart.heat, groups)
    const most = Math.max(1, ...cells.flatMap((column) => [...column.values()]))
    pen.fillStyle = colour('--water')
    for (const [at, column] of cells.entries()) {
      const x0 = Math.max(LEFT, Math.round(xOf(groups[at].startMs)))
      const x1 = Math.round(Math.min(box.width - 1, xOf(groups[at].startMs + stepMs)))
      for (const [row, streams] of column) {
        pen.globalAlpha = 0.16 + 0.84 * (Math.log1p(streams) / Math.log1p(most)) ** 1.6
        const y = Math.round(yOf(Math.min(row, rows - 1) + 1))
        pen.fillRect(x0, y, Math.max(1, x1 - x0 - 1), Math.max(1, Math.round(yOf(Math.min(row, rows - 1))) - y - 1))
      }
    }
    pen.globalAlpha = 1
    labels(pen, { bottom, xOf, yOf, bounds: chart.heatRows, box, axis })
    stalls(pen, { chart, groups, stepMs, xOf, y: bottom + STALLS / 2 + 2 })
    goal(pen, yOf(rowOf(chart.heatRows, goalMs)), goalMs, box.width)
  }, [chart, goalMs, box.width, box.height, look, groups, stepMs])
  return <canvas ref={canvas} class="heat" aria-hidden="true" />
}

/** A canvas in CSS pixels, sharp on any screen, and empty. */
export function sized(canvas: HTMLCanvasElement | null, { width, height }: PlotBox): CanvasRenderingContext2D | null {
  const pen = canvas?.getContext('2d') ?? null
  if (canvas === null || pen === null) return null
  const ratio = devicePixelRatio || 1
  const wide = Math.round(width * ratio)
  const high = Math.round(height * ratio)
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide
    canvas.height = high
    canvas.style.width = `${width}px`
    canvas.style.height = `${height}px`
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0)
  pen.clearRect(0, 0, width, height)
  return pen
}

interface Labels {
  readonly bottom: number
  readonly xOf: (atMs: number) => number
  readonly yOf: (row: number) => number
  readonly bounds: readonly number[]
  readonly box: PlotBox
  readonly axis: ReturnType<typeof axisOf>
}

function labels(pen: CanvasRenderingContext2D, { bottom, xOf, yOf, bounds, box, axis }: Labels): void {
  pen.font = '400 11.5px Inter, system-ui, sans-serif'
  pen.fillStyle = colour('--faint')
  pen.textAlign = 'right'
  pen.textBaseline = 'middle'
  let last = Number.POSITIVE_INFINITY
  for (const tick of TICKS) {
    const row = rowOf(bounds, tick)
    const y = yOf(row)
    if (row >= bounds.length || row < 0.2 || last - y < 16) continue
    last = y
    pen.fillText(String(tick), LEFT - 8, y)
  }
  pen.fillText('stalls', LEFT - 8, bottom + STALLS / 2 + 2)
  pen.fillStyle = colour('--line')
  pen.fillRect(LEFT, bottom + STALLS, box.width - LEFT, 1)
  pen.fillStyle = colour('--faint')
  pen.textAlign = 'center'
  pen.textBaseline = 'alphabetic'
  for (const atMs of timeSplits(axis.startMs, endOf(axis), box.width)) {
    const x = xOf(atMs)
    if (x > LEFT + 14 && x < box.width - 16)
      pen.fillText(timeLabel(atMs, endOf(axis) - axis.startMs), x, box.height - 8)
  }
}

interface Stalls {
  readonly chart: Chart
  readonly groups: readonly Group[]
  readonly stepMs: number
  readonly xOf: (atMs: number) => number
  readonly y: number
}

function stalls(pen: CanvasRenderingContext2D, { chart, groups, stepMs, xOf, y }: Stalls): void {
  pen.fillStyle = colour('--warn')
  for (const group of groups) {
    if (sumOf(chart.stalls, group) === 0) continue
    const x = xOf(group.startMs + stepMs / 2)
    pen.beginPath()
    pen.moveTo(x, y - 4.5)
    pen.lineTo(x + 4.5, y + 4)
    pen.lineTo(x - 4.5, y + 4)
    pen.fill()
  }
}

function goal(pen: CanvasRenderingContext2D, y: number, goalMs: number, width: number): void {
  pen.strokeStyle = colour('--text')
  pen.globalAlpha = 0.75
  pen.setLineDash([1.5, 3])
  pen.beginPath()
  pen.moveTo(LEFT, Math.round(y) + 0.5)
  pen.lineTo(width, Math.round(y) + 0.5)
  pen.stroke()
  pen.setLineDash([])
  pen.globalAlpha = 1
  const words = `goal ${goalMs} ms`
  pen.font = '500 11.5px Inter, system-ui, sans-serif'
  pen.textAlign = 'right'
  pen.textBaseline = 'bottom'
  const wide = pen.measureText(words).width
  pen.fillStyle = colour('--ground')
  pen.globalAlpha = 0.72
  pen.fillRect(width - wide - 5, y - 16, wide + 5, 14)
  pen.globalAlpha = 1
  pen.fillStyle = colour('--text')
  pen.fillText(words, width - 2, y - 2)
}
