/** What a frame costs, in work that does not depend on the machine: calls of the canvas, objects made. */
import { afterEach, expect, it, vi } from 'vitest'
import { MadeUpLine } from '../../../dev/line.ts'
import { draw, type Palette } from './draw.ts'
import { type Geometry, layout, scaleFor } from './layout.ts'
import { type Drawn, Motion } from './motion.ts'

const geometry: Geometry = { width: 800, gateX: 384, gap: 13, rowHeight: 44, top: 12, blockHeight: 20 }
const NOW = 1_000_000
const LOOK = new Proxy({}, { get: () => '#000' }) as Palette

class FakePath {
  rect(): void {}
  roundRect(): void {}
}
vi.stubGlobal('Path2D', FakePath)
afterEach(() => vi.restoreAllMocks())

/** A pen that counts what it is told to do. */
function counting(): { readonly pen: CanvasRenderingContext2D; readonly calls: Map<string, number> } {
  const calls = new Map<string, number>()
  const gradient = { addColorStop() {} }
  const pen = new Proxy({} as Record<string, unknown>, {
    get: (_, name: string) => () => {
      calls.set(name, (calls.get(name) ?? 0) + 1)
      return gradient
    },
    set: () => true,
  })
  return { pen: pen as unknown as CanvasRenderingContext2D, calls }
}

function loaded() {
  const made = new MadeUpLine('load')
  for (let step = 0; step < 40; step++) made.step(250)
  const motion = new Motion()
  const show = (nowMs: number, isStill = false) => {
    const { top } = made.line('tenant', NOW + nowMs)
    const { perToken } = scaleFor(top, geometry, null, NOW)
    const placed = layout(top, perToken, geometry)
    motion.move(placed, nowMs, isStill)
    return placed.length
  }
  return { made, motion, show }
}

it('300 tenants and 2,000 jobs: blocks of one look are painted at once, however many there are', () => {
  const { motion, show } = loaded()
  const blocks = show(0, true)
  expect(blocks).toBeGreaterThan(400)
  const { pen, calls } = counting()
  draw(pen, { blocks: motion.drawn(0), geometry, rows: 8, next: 0, isFull: true, marked: null }, LOOK)
  const painted = ['fill', 'stroke', 'fillRect', 'strokeRect'].reduce((sum, name) => sum + (calls.get(name) ?? 0), 0)
  expect(painted).toBeLessThan(20)
})

it('a frame makes no object for a block, while they move too', () => {
  const { made, motion, show } = loaded()
  show(0, true)
  made.step(250)
  show(250)
  const first: Drawn[] = [...motion.drawn(260)]
  const second: Drawn[] = [...motion.drawn(276)]
  expect(second.length).toBeGreaterThan(400)
  expect(second.every((block, i) => block === first[i])).toBe(true)
})
