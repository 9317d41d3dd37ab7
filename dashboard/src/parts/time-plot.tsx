/**
 * What every chart over time has, whatever draws it: change marks, the crosshair that runs over all of them, exact
 * values on hover and by arrow keys, a range by dragging, the jobs of a bucket by a click, and a table behind "t".
 */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { clock, minute, whole } from '../format.ts'
import { go, setRange } from '../router.ts'
import { serverNow } from '../socket.ts'
import { Mark } from './mark.tsx'
import { Swatch } from './panel.tsx'
import { type Axis, type AxisMark, bucketAt, cross, endOf } from './time.ts'

/** A value under the crosshair. */
export interface Reading {
  readonly name: string
  readonly value: string
  readonly swatch?: string
}

export interface PlotBox {
  readonly width: number
  readonly height: number
}

interface TimePlotProps {
  readonly axis: Axis
  /** One sentence: what it shows, and what it is now. */
  readonly label: string
  readonly height: number
  /** Of the plot in the box, px. */
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
  readonly marks: readonly AxisMark[]
  readonly hasWords?: boolean
  /** What the crosshair stands on: ms of a bar; the bucket's where it isn't given. */
  readonly barMs?: number
  readonly read: (bucket: number) => readonly Reading[]
  readonly children: (box: PlotBox) => ComponentChildren
}

const DRAG_PX = 6
/** A mark's words need so much room. */
const CHARACTER_PX = 6.4
const TABLE_ROWS = 60

export function TimePlot(props: TimePlotProps) {
  const { axis, label, height, left, right, top, bottom, marks, hasWords = false, read, children } = props
  const root = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(0)
  const [isTable, setTable] = useState(false)
  const isHere = useSignal(false)
  const drag = useSignal<{ readonly from: number; readonly to: number } | null>(null)

  useLayoutEffect(() => {
    const element = root.current
    if (element === null) return
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)))
    observer.observe(element)
    setWidth(Math.floor(element.getBoundingClientRect().width))
    return () => observer.disconnect()
  }, [])

  const span = Math.max(1, width - left - right)
  const endMs = endOf(axis)
  const barMs = props.barMs ?? axis.stepMs
  const xOf = (atMs: number): number => left + ((atMs - axis.startMs) / (endMs - axis.startMs)) * span
  const timeAt = (clientX: number): number => {
    const x = clientX - (root.current?.getBoundingClientRect().left ?? 0)
    return axis.startMs + (Math.min(span, Math.max(0, x - left)) / span) * (endMs - axis.startMs)
  }
  const barAt = (atMs: number): number => Math.floor(Math.min(endMs - 1, atMs) / barMs) * barMs
  const openJobs = (atMs: number): void => {
    const fromMs = barAt(atMs)
    go(`/jobs?from=${fromMs}&to=${fromMs + barMs}`)
  }

  const onPointerMove = (event: PointerEvent): void => {
    const atMs = timeAt(event.clientX)
    isHere.value = true
    cross.value = barAt(atMs) + barMs / 2
    if (drag.value !== null) drag.value = { ...drag.value, to: atMs }
  }
  const onPointerDown = (event: PointerEvent): void => {
    if (event.button !== 0 || event.pointerType === 'touch') return
    root.current?.setPointerCapture(event.pointerId)
    const atMs = timeAt(event.clientX)
    drag.value = { from: atMs, to: atMs }
  }
  const onPointerUp = (event: PointerEvent): void => {
    const dragged = drag.value
    drag.value = null
    if (dragged === null) return
    const fromMs = Math.min(dragged.from, dragged.to)
    const toMs = Math.max(dragged.from, dragged.to)
    if (xOf(toMs) - xOf(fromMs) < DRAG_PX) openJobs(timeAt(event.clientX))
    else setRange({ fromMs, toMs: Math.max(toMs, fromMs + axis.stepMs) })
  }
  const leave = (): void => {
    isHere.value = false
    cross.value = null
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    const by = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : 0
    if (by !== 0) {
      const from = cross.value ?? endMs - barMs / 2
      isHere.value = true
      cross.value = Math.min(endMs - barMs / 2, Math.max(axis.startMs + barMs / 2, from + by * barMs))
    } else if (event.key === 'Enter' && cross.value !== null) openJobs(cross.value)
    else if (event.key === 't') setTable(!isTable)
    else if (event.key === 'Escape') isTable ? setTable(false) : leave()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  const shown = apart(marks, xOf)
  return (
    <>
      <div
        ref={root}
        class="plot"
        style={{ '--height': `${height}px` }}
        role="group"
        aria-label={`${label} Arrow keys read values, t shows a table.`}
        tabIndex={0}
        onPointerMove={onPointerMove}
        onPointerDown={onPointerDown}
        onPointerUp={onPointerUp}
        onPointerLeave={leave}
        onBlur={leave}
        onKeyDown={onKeyDown}
      >
        {width > 0 && children({ width, height })}
        {shown.map(({ atMs, shape, words }, at) => {
          const x = xOf(atMs)
          const next = shown[at + 1]
          const room = (next === undefined ? width - right : xOf(next.atMs)) - x
          const hasRoom = hasWords && room > 20 + words.length * CHARACTER_PX
          return (
            <span
              key={`${atMs} ${words}`}
              class={`plot-mark plot-mark-${shape} ${hasWords ? 'has-words' : ''}`}
              style={{ '--x': `${x}px`, '--bottom': `${bottom}px` }}
              title={`${clock(atMs, serverNow())} ${words}`}
            >
              <span class="plot-mark-head">
                <Mark shape={shape} label={words} size={9} />
                {hasRoom && <span>{words}</span>}
              </span>
            </span>
          )
        })}
        <Crosshair {...{ axis, xOf, top, bottom, width, left, right, isHere, barMs, read }} />
        <Dragged drag={drag} xOf={xOf} top={top} bottom={bottom} />
      </div>
      {isTable && <PlotTable axis={axis} label={label} read={read} />}
    </>
  )
}

const MARK_PX = 9

/** Of marks that would cover each other the worse one is drawn: what went out, not what followed from it. */
function apart(marks: readonly AxisMark[], xOf: (atMs: number) => number): readonly AxisMark[] {
  const shown: AxisMark[] = []
  for (const mark of marks) {
    const last = shown.at(-1)
    if (last === undefined || xOf(mark.atMs) - xOf(last.atMs) >= MARK_PX) shown.push(mark)
    else if (mark.shape === 'bad' && last.shape !== 'bad') shown[shown.length - 1] = mark
  }
  return shown
}

interface CrosshairProps extends Pick<TimePlotProps, 'axis' | 'read' | 'top' | 'bottom' | 'left' | 'right'> {
  readonly xOf: (atMs: number) => number
  readonly width: number
  readonly barMs: number
  readonly isHere: { readonly value: boolean }
}

function Crosshair({ axis, xOf, top, bottom, left, right, width, isHere, barMs, read }: CrosshairProps) {
  const atMs = cross.value
  if (atMs === null || atMs < axis.startMs || atMs > endOf(axis)) return null
  const x = xOf(atMs)
  const readings = isHere.value ? read(bucketAt(axis, atMs)) : []
  const isRight = x > left + (width - left - right) / 2
  const fromMs = atMs - barMs / 2
  return (
    <>
      <i class="cross" style={{ '--x': `${x}px`, '--top': `${top}px`, '--bottom': `${bottom}px` }} />
      {isHere.value && (
        <div class={`tip ${isRight ? 'tip-left' : ''}`} style={{ '--x': `${x}px` }} role="status" title={whole(fromMs)}>
          <b>{barMs < 60_000 ? clock(fromMs, serverNow()) : minute(fromMs)}</b>
          {readings.map(({ name, value, swatch }) => (
            <span key={name} class="tip-row">
              {swatch === undefined ? <span class="tip-name">{name}</span> : <Swatch of={swatch}>{name}</Swatch>}
              <span>{value}</span>
            </span>
          ))}
        </div>
      )}
    </>
  )
}

function Dragged({
  drag,
  xOf,
  top,
  bottom,
}: {
  readonly drag: { readonly value: { readonly from: number; readonly to: number } | null }
  readonly xOf: (atMs: number) => number
  readonly top: number
  readonly bottom: number
}) {
  if (drag.value === null) return null
  const from = xOf(Math.min(drag.value.from, drag.value.to))
  const to = xOf(Math.max(drag.value.from, drag.value.to))
  if (to - from < DRAG_PX) return null
  return (
    <i
      class="dragged"
      style={{ '--x': `${from}px`, '--w': `${to - from}px`, '--top': `${top}px`, '--bottom': `${bottom}px` }}
    />
  )
}

/** The same numbers for who can't see the chart, the newest first. */
function PlotTable({ axis, label, read }: Pick<TimePlotProps, 'axis' | 'label' | 'read'>) {
  const step = Math.max(1, Math.ceil(axis.buckets / TABLE_ROWS))
  const buckets = Array.from({ length: Math.ceil(axis.buckets / step) }, (_, at) => axis.buckets - 1 - at * step)
  const rows = buckets.flatMap((bucket) => {
    const readings = read(bucket)
    return readings.length === 0 ? [] : [{ atMs: axis.startMs + bucket * axis.stepMs, readings }]
  })
  return (
    <div class="plot-table">
      <table class="table" aria-label={label}>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {rows[0]?.readings.map(({ name }) => (
              <th key={name} scope="col" class="right">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ atMs, readings }) => (
            <tr key={atMs}>
              <td>{clock(atMs, serverNow())}</td>
              {readings.map(({ name, value }) => (
                <td key={name} class="right">
                  {value}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
