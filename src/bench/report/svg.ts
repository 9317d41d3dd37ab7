/** Charts as inline SVG: no script, no font, no colour of their own (classes have those), with a text for readers. */
import { figure } from '../format.ts'

export const safe = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)

export interface Axis {
  readonly name: string
  readonly max: number
  readonly min?: number
  /** Null: each value as it is. */
  readonly format?: (value: number) => string
}

const WIDTH = 720
const HEIGHT = 240
const LEFT = 64
const RIGHT = 16
const TOP = 12
const BOTTOM = 40
const TICKS = 5

export interface Plot {
  x(value: number): number
  y(value: number): number
}

/** `draw` returns the marks, in coordinates of the plot. `about`: what a reader who can't see it is told. */
export function chart(title: string, about: string, x: Axis, y: Axis, draw: (plot: Plot) => string): string {
  const from = { x: x.min ?? 0, y: y.min ?? 0 }
  const plot: Plot = {
    x: (value) => round(LEFT + ((value - from.x) / Math.max(1e-9, x.max - from.x)) * (WIDTH - LEFT - RIGHT)),
    y: (value) =>
      round(HEIGHT - BOTTOM - ((value - from.y) / Math.max(1e-9, y.max - from.y)) * (HEIGHT - TOP - BOTTOM)),
  }
  const lines = ticks(from.y, y.max).map(
    (value) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${plot.y(value)}" y2="${plot.y(value)}"/>` +
      label(LEFT - 8, plot.y(value) + 4, 'end', (y.format ?? figure)(value)),
  )
  const below = ticks(from.x, x.max).map((value) =>
    label(plot.x(value), HEIGHT - BOTTOM + 16, 'middle', (x.format ?? figure)(value)),
  )
  return figureOf(
    title,
    about,
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${safe(`${title}. ${about}`)}">` +
      `${lines.join('')}${below.join('')}` +
      `<text class="axis" x="${WIDTH - RIGHT}" y="${HEIGHT - 6}" text-anchor="end">${safe(x.name)}</text>` +
      `<text class="axis" x="${LEFT}" y="${TOP - 1}">${safe(y.name)}</text>${draw(plot)}</svg>`,
  )
}

export const label = (x: number, y: number, anchor: 'start' | 'middle' | 'end', text: string): string =>
  `<text class="tick" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${safe(text)}</text>`

export const bar = (kind: string, x: number, y: number, width: number, height: number, title: string): string =>
  `<rect class="${kind}" x="${round(x)}" y="${y}" width="${round(width)}" height="${height}">` +
  `<title>${safe(title)}</title></rect>`

/** A picture without axes. */
export const drawing = (height: number, about: string, marks: readonly string[]): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${safe(about)}">${marks.join('')}</svg>`

export const figureOf = (title: string, about: string, content: string): string =>
  `<figure><figcaption><h3>${safe(title)}</h3><p>${safe(about)}</p></figcaption>${content}</figure>`

/** Round numbers from `min` to `max`. */
function ticks(min: number, max: number): number[] {
  const span = Math.max(1e-9, max - min)
  const rough = span / TICKS
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough)!
  const found: number[] = []
  for (let value = Math.ceil(min / step) * step; value <= max + step * 1e-6; value += step) found.push(value)
  return found
}

export const line = (points: ReadonlyArray<readonly [number, number]>, kind: string): string =>
  points.length === 0 ? '' : `<polyline class="${kind}" points="${points.map(([x, y]) => `${x},${y}`).join(' ')}"/>`

export const dot = (x: number, y: number, kind: string, title: string): string =>
  `<circle class="${kind}" cx="${x}" cy="${y}" r="4"><title>${safe(title)}</title></circle>`

export const round = (value: number): number => Math.round(value * 10) / 10

/** At most `count` of them, evenly. */
export function thinned<T>(values: readonly T[], count: number): T[] {
  if (values.length <= count) return [...values]
  return Array.from({ length: count }, (_, i) => values[Math.round((i * (values.length - 1)) / (count - 1))])
}
