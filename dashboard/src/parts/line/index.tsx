/** The line: who waits, who is served, and is it fair. Rows of words with one canvas through them. */
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { Line, LineRow, RowKind } from '../../../../src/core/live.ts'
import { count, duration, percent, short } from '../../format.ts'
import { go } from '../../router.ts'
import { isStill, theme } from '../../theme.ts'
import { Bullet } from '../bars.tsx'
import { sized } from '../heatmap.tsx'
import { Panel, Swatch } from '../panel.tsx'
import { draw, type Palette, palette } from './draw.ts'
import {
  type Geometry,
  isFull,
  layout,
  type Order,
  ordered,
  orderOf,
  type Placed,
  type Scale,
  scaleFor,
} from './layout.ts'
import { Motion } from './motion.ts'
import './line.css'

const TITLES: Readonly<Record<RowKind, string>> = { tenant: 'Tenant', model: 'Model', deployment: 'Deployment' }
const PLURALS: Readonly<Record<RowKind, string>> = { tenant: 'tenants', model: 'models', deployment: 'deployments' }
const ROW = 44
const NARROW_PX = 620
/** Below the narrow view's words. */
const NARROW_ROW = 52

interface TheLineProps {
  readonly line: Line
  readonly onRows: (rows: RowKind) => void
}

export function TheLine({ line, onRows }: TheLineProps) {
  const order = useRef<Order | null>(null)
  const kind = useRef(line.rows)
  if (kind.current !== line.rows) order.current = null
  kind.current = line.rows
  order.current = orderOf(line.top, order.current, line.atMs)
  const rows = ordered(line.top, order.current)
  const [isTable, setTable] = useState(false)
  const [told, setTold] = useState('')
  const { waiting, running, slots, full, others } = line

  return (
    <Panel
      title="The line"
      sub="Who waits, who is served, and is it fair?"
      class="line-panel"
      right={
        <>
          <label class="line-by">
            by
            <select
              aria-label="Rows of the line"
              value={line.rows}
              onChange={({ currentTarget }) => onRows(currentTarget.value as RowKind)}
            >
              {(Object.keys(TITLES) as RowKind[]).map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
          </label>
          <span class="line-legend">
            <Swatch of="sand">waiting</Swatch>
            <Swatch of="pale">prompt read</Swatch>
            <Swatch of="water">tokens made</Swatch>
            <Swatch of="outline">still to come</Swatch>
          </span>
        </>
      }
    >
      <div
        class="line"
        onKeyDown={(event) => {
          if (event.key !== 't') return
          event.preventDefault()
          event.stopPropagation()
          setTable(!isTable)
        }}
      >
        <div class="line-head">
          <span class="line-name">{TITLES[line.rows]}</span>
          <span class="line-wait">Wait, next in</span>
          <span class="line-sides">
            <span class="line-left">
              <b>{count(waiting.jobs)} waiting</b>
              <span class="line-tokens"> · up to {short(waiting.tokens)} tokens</span>
            </span>
            <span class="line-right">
              <b>{count(running)} in flight</b>
              {full !== undefined
                ? ` · all ${count(full.slots)} slots for what waits are taken`
                : slots !== null && ` · ${count(running)} of ${count(slots)} slots`}
            </span>
          </span>
          <span class="line-share">
            served in the last minute · <i class="due-tick" aria-hidden="true" /> due
          </span>
        </div>
        <div class="line-body">
          <ul class="line-rows">
            {rows.map((row) => (
              <Row key={row.name} row={row} />
            ))}
          </ul>
          <Blocks line={line} rows={rows} onTell={setTold} />
        </div>
        <p class="line-foot">
          <span>
            A block is a job, its width its tokens.
            {line.next !== null && ` ▸ ${line.next} goes next: it had the least service for its weight.`}
            {rows.some((row) => row.waits.length > 20) && ' A long queue delays its owner, nobody else.'}
          </span>
          <span>{restOf(others, PLURALS[line.rows])}</span>
        </p>
        <p class="for-readers" role="status">
          {told}
        </p>
      </div>
      <div class={isTable ? 'plot-table' : 'for-readers'}>
        <LineTable line={line} rows={rows} />
      </div>
    </Panel>
  )
}

function restOf({ rows, waiting, running, idle }: Line['others'], plural: string): string {
  const parts: string[] = []
  if (rows > 0) parts.push(`${count(rows)} more ${plural}: ${count(waiting)} wait, ${count(running)} in flight`)
  if (idle > 0)
    parts.push(
      rows > 0 ? `${count(idle)} idle` : `${count(idle)} more ${idle === 1 ? plural.replace(/s$/, '') : plural} idle`,
    )
  return parts.join(' · ')
}

function Row({ row }: { readonly row: LineRow }) {
  const { name, weight, waiting, share, due, tokensPerSecond } = row
  return (
    <li class="line-row" aria-hidden="true">
      <span class="line-name">
        <b class="clip">{name}</b>
        {waiting.jobs > 0 && <span class="line-waits">{count(waiting.jobs)} wait</span>}
        {weight !== null && <small>weight {count(weight)}</small>}
      </span>
      <span class="line-wait">
        <b>{waiting.jobs === 0 ? '–' : count(waiting.jobs)}</b>
        {waiting.nextInMs !== null && <small>{duration(waiting.nextInMs)}</small>}
      </span>
      <span class="line-sides" />
      <span class="line-share">
        <Bullet used={share} tick={due} label={`${percent(share)} of the service`} />
        <span class="line-served">
          <b>{Math.round(share * 100)}%</b>
          <small>{count(Math.round(tokensPerSecond))} tok/s</small>
        </span>
      </span>
      <span class="line-served-narrow">
        {count(Math.round(tokensPerSecond))} tok/s · {Math.round(share * 100)}%
        {due !== null && ` of ${Math.round(due * 100)}% due`}
      </span>
    </li>
  )
}

function geometryOf(width: number, isNarrow: boolean): Geometry {
  return isNarrow
    ? { width, gateX: Math.round(width * 0.46), gap: 14, rowHeight: NARROW_ROW, top: 24, blockHeight: 20 }
    : { width, gateX: Math.round(width * 0.48), gap: 13, rowHeight: ROW, top: 12, blockHeight: 20 }
}

interface BlocksProps {
  readonly line: Line
  readonly rows: readonly LineRow[]
  readonly onTell: (words: string) => void
}

function Blocks({ line, rows, onTell }: BlocksProps) {
  const host = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const stage = useRef<Stage | null>(null)
  const [width, setWidth] = useState(0)
  const look = theme.value

  useLayoutEffect(() => {
    if (host.current === null || canvas.current === null) return
    stage.current = new Stage(canvas.current, onTell)
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)))
    observer.observe(host.current)
    return () => {
      observer.disconnect()
      stage.current?.stop()
    }
  }, [onTell])
  useLayoutEffect(() => {
    if (width > 0) stage.current?.show(line, rows, width, look)
  }, [line, rows, width, look])
  return (
    <div
      ref={host}
      class="line-canvas"
      role="application"
      aria-label="The blocks of the line. Arrow keys go from job to job, enter opens one, t shows a table."
      tabIndex={0}
      onKeyDown={(event) => stage.current?.key(event)}
      onPointerMove={(event) => stage.current?.point(event)}
      onPointerLeave={() => stage.current?.leave()}
      onBlur={() => stage.current?.leave()}
      onClick={() => stage.current?.open()}
    >
      <canvas ref={canvas} aria-hidden="true" />
    </div>
  )
}

/** What moves between two frames, outside of any component: a frame here is a drawing, not a rendering. */
class Stage {
  readonly #canvas: HTMLCanvasElement
  readonly #onTell: (words: string) => void
  readonly #motion = new Motion()
  #scale: Scale | null = null
  #placed: readonly Placed[] = []
  #rows: readonly LineRow[] = []
  #line: Line | null = null
  #geometry: Geometry | null = null
  #look: Palette | null = null
  #theme = ''
  #marked: string | null = null
  #frame = 0

  constructor(canvas: HTMLCanvasElement, onTell: (words: string) => void) {
    this.#canvas = canvas
    this.#onTell = onTell
  }

  show(line: Line, rows: readonly LineRow[], width: number, theme: string): void {
    const isNarrow = innerWidth <= NARROW_PX
    const isResized =
      this.#geometry?.width !== width || this.#rows.length !== rows.length || this.#line?.rows !== line.rows
    const geometry = geometryOf(width, isNarrow)
    if (isResized && this.#geometry?.width !== width) this.#scale = null
    if (this.#theme !== theme) this.#look = palette()
    this.#theme = theme
    const scale = scaleFor(rows, geometry, this.#scale, line.atMs)
    const isRescaled = scale.perToken !== this.#scale?.perToken
    this.#scale = scale
    this.#geometry = geometry
    this.#rows = rows
    this.#line = line
    this.#placed = layout(rows, scale.perToken, geometry)
    this.#motion.move(this.#placed, performance.now(), isStill.value || document.hidden || isResized || isRescaled)
    this.#draw()
  }

  stop(): void {
    cancelAnimationFrame(this.#frame)
  }

  #draw = (): void => {
    cancelAnimationFrame(this.#frame)
    const geometry = this.#geometry
    const line = this.#line
    if (geometry === null || line === null || this.#look === null) return
    const rows = Math.max(1, this.#rows.length)
    const pen = sized(this.#canvas, { width: geometry.width, height: rows * geometry.rowHeight + 4 })
    if (pen === null) return
    const nowMs = performance.now()
    const next = this.#rows.findIndex(({ name }) => name === line.next)
    draw(
      pen,
      {
        blocks: this.#motion.drawn(nowMs),
        geometry,
        rows,
        next: next === -1 ? null : next,
        isFull: isFull(line),
        marked: this.#marked,
      },
      this.#look,
    )
    if (this.#motion.isMoving(nowMs)) this.#frame = requestAnimationFrame(this.#draw)
  }

  point({ offsetX, offsetY }: MouseEvent): void {
    const height = this.#geometry?.blockHeight ?? 0
    const hit = this.#placed.find(
      ({ x, y, width }) =>
        offsetX >= x - 1 && offsetX <= x + width + 1 && offsetY >= y - 6 && offsetY <= y + height + 6,
    )
    this.#mark(hit)
  }

  leave(): void {
    this.#mark(undefined)
  }

  open(): void {
    if (this.#marked !== null) go(`/jobs/${encodeURIComponent(this.#marked)}`)
  }

  /** ← and → along a row, from what waits last to what runs last; ↑ and ↓ to the nearest block of the next row. */
  key(event: KeyboardEvent): void {
    if (event.key === 'Enter') {
      event.preventDefault()
      this.open()
      return
    }
    const along = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : 0
    const across = event.key === 'ArrowUp' ? -1 : event.key === 'ArrowDown' ? 1 : 0
    if (along === 0 && across === 0) return
    event.preventDefault()
    const current = this.#placed.find(({ job }) => job === this.#marked)
    const start = current ?? this.#placed[0]
    if (start === undefined) return
    if (current === undefined) {
      this.#mark(start, true)
      return
    }
    if (along !== 0) {
      const row = this.#placed.filter(({ row }) => row === current.row).sort((one, other) => one.x - other.x)
      this.#mark(row[Math.min(row.length - 1, Math.max(0, row.indexOf(current) + along))], true)
      return
    }
    for (let row = current.row + across; row >= 0 && row < this.#rows.length; row += across) {
      const there = this.#placed.filter((one) => one.row === row)
      if (there.length === 0) continue
      this.#mark(
        there.reduce((best, one) => (Math.abs(one.x - current.x) < Math.abs(best.x - current.x) ? one : best)),
        true,
      )
      return
    }
  }

  #mark(placed: Placed | undefined, isSpoken = false): void {
    const job = placed?.job ?? null
    if (job === this.#marked) return
    this.#marked = job
    this.#canvas.style.cursor = job === null ? '' : 'pointer'
    const words = placed === undefined ? '' : this.#wordsOf(placed)
    this.#canvas.title = words
    if (isSpoken) this.#onTell(words)
    this.#draw()
  }

  #wordsOf({ row, job, isRunning, at }: Placed): string {
    const of = this.#rows[row]
    const block = (isRunning ? of?.runs : of?.waits)?.find((one) => one.job === job)
    if (of === undefined || block === undefined) return job
    const prompt = `${count(block.promptTokens)} tokens of prompt`
    const state = isRunning
      ? `${count(block.madeTokens)} tokens made, at most ${count(block.boundTokens - block.promptTokens)}`
      : at === 0
        ? 'goes next'
        : `waits, ${count(at)} before it`
    return `${of.name}, ${job}: ${prompt}, ${state}`
  }
}

function LineTable({ line, rows }: { readonly line: Line; readonly rows: readonly LineRow[] }) {
  return (
    <table class="table" aria-label={`The line by ${line.rows}`}>
      <thead>
        <tr>
          <th scope="col">{TITLES[line.rows]}</th>
          <th scope="col">Waiting</th>
          <th scope="col">Tokens that wait</th>
          <th scope="col">Next in</th>
          <th scope="col">In flight</th>
          <th scope="col">Tokens a second</th>
          <th scope="col">Share of the last minute</th>
          <th scope="col">Due by weight</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, waiting, running, tokensPerSecond, share, due }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{count(waiting.jobs)}</td>
            <td>{short(waiting.tokens)}</td>
            <td>{duration(waiting.nextInMs)}</td>
            <td>{count(running)}</td>
            <td>{count(Math.round(tokensPerSecond))}</td>
            <td>{percent(share)}</td>
            <td>{due === null ? 'waits for nothing' : percent(due)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
