/** Draws blocks and gate. Blocks of one look go into one path: 800 of them take a millisecond. */
import { colour } from '../../theme.ts'
import type { Geometry } from './layout.ts'
import type { Drawn } from './motion.ts'

/** The look of a drawing: the tokens, read once. */
export const palette = () => ({
  sand: colour('--sand'),
  pale: colour('--water-pale'),
  water: colour('--water'),
  outline: colour('--water-outline'),
  now: colour('--now'),
  text: colour('--text'),
  warn: colour('--warn'),
  ground: colour('--ground'),
  line: colour('--line'),
  grid: colour('--raised'),
})
export type Palette = ReturnType<typeof palette>

/** Waiting jobs are paler the farther they are from the gate, in so many steps. */
const STEPS = 6
const RADIUS = 3
/** Smaller blocks have no round corners: nobody would see them, and hundreds of them would cost most of a frame. */
const ROUND_PX = 8
/** Where the queue fades out at the left. */
const FADE = 76

export interface Scene {
  readonly blocks: Iterable<Drawn>
  readonly geometry: Geometry
  readonly rows: number
  /** The row that goes next. */
  readonly next: number | null
  readonly isFull: boolean
  /** The block that has the keyboard or the pointer. */
  readonly marked: string | null
}

export function draw(
  pen: CanvasRenderingContext2D,
  { blocks, geometry, rows, next, isFull, marked }: Scene,
  look: Palette,
): void {
  const { gateX, blockHeight, rowHeight, top, width } = geometry
  const waits = Array.from({ length: STEPS }, () => new Path2D())
  const read = new Path2D()
  const made = new Path2D()
  const frames = new Path2D()
  const edges = new Path2D()
  const fading: Drawn[] = []
  let ring: Drawn | null = null
  for (const block of blocks) {
    const { x, y, width: wide, at, isRunning, alpha } = block
    if (block.job === marked) ring = block
    if (alpha < 1) {
      fading.push(block)
      continue
    }
    if (!isRunning) box(waits[Math.min(STEPS - 1, at)], x, y, wide, blockHeight)
    else running({ read, made, frames, edges }, block, blockHeight)
  }
  for (const [step, path] of waits.entries()) {
    pen.globalAlpha = 1 - step * 0.11
    pen.fillStyle = look.sand
    pen.fill(path)
  }
  pen.globalAlpha = 1
  pen.fillStyle = look.pale
  pen.fill(read)
  pen.fillStyle = look.water
  pen.fill(made)
  pen.strokeStyle = look.outline
  pen.lineWidth = 1
  pen.stroke(frames)
  pen.fillStyle = look.now
  pen.fill(edges)
  for (const block of fading) single(pen, block, blockHeight, look)
  fadeOut(pen, geometry, rows)
  gate(pen, { gateX, top, rowHeight, blockHeight, rows, next, isFull }, look)
  if (ring !== null) {
    pen.strokeStyle = look.text
    pen.lineWidth = 2
    const x = Math.max(1, ring.x - 2)
    pen.strokeRect(x, ring.y - 3, Math.min(width - 1, ring.x + ring.width + 2) - x, blockHeight + 6)
  }
}

const box = (path: Path2D, x: number, y: number, width: number, height: number): void =>
  width < ROUND_PX ? path.rect(x, y, width, height) : path.roundRect(x, y, width, height, RADIUS)

interface Paths {
  readonly read: Path2D
  readonly made: Path2D
  readonly frames: Path2D
  readonly edges: Path2D
}

/** Pale: prompt read. Full: made. Outline: still to come. Bright edge: now. */
function running({ read, made, frames, edges }: Paths, block: Drawn, height: number): void {
  const { x, y, width } = block
  const readTo = Math.min(width, block.read)
  const madeTo = Math.min(width, block.read + block.made)
  const left = [RADIUS, 0, 0, RADIUS]
  if (width >= ROUND_PX) {
    read.roundRect(x, y, readTo, height, madeTo > readTo ? left : madeTo >= width - 1 ? RADIUS : left)
    if (madeTo > readTo)
      made.roundRect(x + readTo, y, madeTo - readTo, height, madeTo >= width - 1 ? [0, RADIUS, RADIUS, 0] : 0)
    frames.roundRect(x + 0.5, y + 0.5, width - 1, height - 1, RADIUS)
  } else {
    read.rect(x, y, readTo, height)
    if (madeTo > readTo) made.rect(x + readTo, y, madeTo - readTo, height)
    frames.rect(x + 0.5, y + 0.5, width - 1, height - 1)
  }
  if (block.made > 0.4) edges.rect(Math.min(x + width - 2, x + madeTo - 1), y, 2, height)
}

function single(pen: CanvasRenderingContext2D, block: Drawn, height: number, look: Palette): void {
  pen.globalAlpha = block.alpha
  if (block.isRunning) {
    const paths = { read: new Path2D(), made: new Path2D(), frames: new Path2D(), edges: new Path2D() }
    running(paths, block, height)
    pen.fillStyle = look.pale
    pen.fill(paths.read)
    pen.fillStyle = look.water
    pen.fill(paths.made)
    pen.strokeStyle = look.outline
    pen.stroke(paths.frames)
  } else {
    const path = new Path2D()
    box(path, block.x, block.y, block.width, height)
    pen.fillStyle = look.sand
    pen.globalAlpha = block.alpha * (1 - Math.min(STEPS - 1, block.at) * 0.11)
    pen.fill(path)
  }
  pen.globalAlpha = 1
}

/** A long queue fades out at the left: its count stands in the column. And what runs, at the right edge. */
function fadeOut(pen: CanvasRenderingContext2D, { width, top, rowHeight, blockHeight }: Geometry, rows: number): void {
  const height = top + (rows - 1) * rowHeight + blockHeight + 4
  pen.globalCompositeOperation = 'destination-out'
  for (const [from, to] of [
    [0, FADE],
    [width, width - 24],
  ]) {
    const fade = pen.createLinearGradient(from, 0, to, 0)
    fade.addColorStop(0, '#000')
    fade.addColorStop(1, '#0000')
    pen.fillStyle = fade
    pen.fillRect(Math.min(from, to), 0, Math.abs(to - from), height)
  }
  pen.globalCompositeOperation = 'source-over'
}

interface Gate {
  readonly gateX: number
  readonly top: number
  readonly rowHeight: number
  readonly blockHeight: number
  readonly rows: number
  readonly next: number | null
  readonly isFull: boolean
}

function gate(
  pen: CanvasRenderingContext2D,
  { gateX, top, rowHeight, blockHeight, rows, next, isFull }: Gate,
  look: Palette,
): void {
  const height = top + (rows - 1) * rowHeight + blockHeight + Math.min(16, rowHeight - blockHeight - 4)
  pen.fillStyle = isFull ? look.warn : look.text
  pen.fillRect(Math.round(gateX) - 4, 0, 2, height)
  pen.fillRect(Math.round(gateX) + 2, 0, 2, height)
  if (next === null) return
  const x = Math.round(gateX)
  const y = top + next * rowHeight + blockHeight / 2
  pen.fillStyle = look.ground
  pen.beginPath()
  pen.arc(x, y, 10, 0, 7)
  pen.fill()
  pen.fillStyle = look.text
  pen.beginPath()
  pen.arc(x, y, 7.5, 0, 7)
  pen.fill()
  pen.fillStyle = look.ground
  pen.beginPath()
  pen.moveTo(x - 2.3, y - 3.7)
  pen.lineTo(x + 3.7, y)
  pen.lineTo(x - 2.3, y + 3.7)
  pen.fill()
}
