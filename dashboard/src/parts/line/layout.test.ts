import { expect, it } from 'vitest'
import { MadeUpLine } from '../../../dev/line.ts'
import { type Geometry, isFull, layout, ordered, orderOf, type Scale, scaleFor, widthOf } from './layout.ts'
import { Motion } from './motion.ts'

const geometry: Geometry = { width: 800, gateX: 384, gap: 13, rowHeight: 44, top: 12, blockHeight: 20 }
const NOW = 1_000_000

const line = (kind: 'late' | 'load', steps = 40) => {
  const made = new MadeUpLine(kind)
  for (let step = 0; step < steps; step++) made.step(250)
  return made.line('tenant', NOW)
}

it('what waits stands left of the gate, what runs right of it; none covers another', () => {
  const { top } = line('late')
  const { perToken } = scaleFor(top, geometry, null, NOW)
  const placed = layout(top, perToken, geometry)
  for (const { x, width, isRunning } of placed)
    if (isRunning) expect(x).toBeGreaterThanOrEqual(geometry.gateX + geometry.gap)
    else expect(x + width).toBeLessThanOrEqual(geometry.gateX - geometry.gap)
  for (const row of top.keys()) {
    const inRow = placed.filter((one) => one.row === row).sort((one, other) => one.x - other.x)
    for (const [at, { x, width }] of inRow.slice(0, -1).entries())
      expect(inRow[at + 1].x - x - width).toBeGreaterThan(2)
  }
})

it('a job keeps its width as it passes the gate', () => {
  const block = { job: 'job_1', promptTokens: 900, madeTokens: 0, boundTokens: 1_500 }
  const row = line('late').top[0]
  const waits = layout([{ ...row, waits: [block], runs: [] }], 0.05, geometry)
  const runs = layout([{ ...row, waits: [], runs: [{ ...block, madeTokens: 300 }] }], 0.05, geometry)
  expect(waits[0].width).toBe(widthOf(block, 0.05))
  expect(runs[0].width).toBe(waits[0].width)
  expect(runs[0].read / runs[0].width).toBeCloseTo(0.6)
  expect(runs[0].made / runs[0].width).toBeCloseTo(0.2)
})

it('the scale halves or doubles only, at most once in ten seconds', () => {
  const { top } = line('late')
  const first = scaleFor(top, geometry, null, NOW)
  expect(Number.isInteger(Math.log2(first.perToken))).toBe(true)
  const heavier = top.map((row) => ({
    ...row,
    runs: row.runs.map((run) => ({ ...run, boundTokens: run.boundTokens * 30 })),
  }))
  expect(scaleFor(heavier, geometry, first, NOW + 9_999)).toBe(first)
  const next = scaleFor(heavier, geometry, first, NOW + 10_000)
  expect(next).toEqual({ perToken: first.perToken / 2, atMs: NOW + 10_000 })
  let back: Scale = next
  for (let at = 2; at < 6; at++)
    back = scaleFor(
      top.slice(0, 1).map((row) => ({ ...row, runs: [], waits: [] })),
      geometry,
      back,
      NOW + at * 10_000,
    )
  expect(back.perToken).toBeGreaterThan(first.perToken)
})

it('rows stay for ten seconds; one that goes makes room for one that comes', () => {
  const { top } = line('late')
  const [a, b, c, d] = top
  const order = orderOf([a, b, c], null, NOW)
  expect(orderOf([c, a, b], order, NOW + 5_000)).toBe(order)
  expect(orderOf([d, c, a], order, NOW + 5_000).names).toEqual([a, d, c].map(({ name }) => name))
  expect(orderOf([c, a, b], order, NOW + 10_000).names).toEqual([c, a, b].map(({ name }) => name))
  expect(ordered([c, a, b], order)).toEqual([a, b, c])
})

it('a crowd is cut at the edges, whatever it counts', () => {
  const { top, waiting, running } = line('load')
  expect(waiting.jobs + running).toBeGreaterThan(1_500)
  const { perToken } = scaleFor(top, geometry, null, NOW)
  const placed = layout(top, perToken, geometry)
  expect(placed.length).toBeLessThanOrEqual(800)
  for (const { x, width } of placed) expect(x < geometry.width && x + width > -geometry.width).toBe(true)
})

it('the gate is amber only when slots are full and someone waits', () => {
  const told = line('late')
  expect(isFull({ ...told, slots: 24, running: 24 })).toBe(true)
  expect(isFull({ ...told, slots: 24, running: 23 })).toBe(false)
  expect(isFull({ ...told, slots: null })).toBe(false)
  expect(isFull({ ...told, slots: 4_096, running: 2, full: { slots: 2 } })).toBe(true)
  expect(isFull({ ...told, slots: 24, running: 24, waiting: { jobs: 0, tokens: 0 } })).toBe(false)
})

it('a leased job slides through the gate; above twenty a second it is swapped', () => {
  const row = line('late').top[0]
  const block = (job: string) => ({ job, promptTokens: 900, madeTokens: 0, boundTokens: 1_500 })
  const before = layout([{ ...row, waits: [block('a')], runs: [] }], 0.05, geometry)
  const after = layout([{ ...row, waits: [], runs: [block('a')] }], 0.05, geometry)
  const motion = new Motion()
  motion.move(before, 0)
  motion.move(after, 1_000)
  const xAt = (ms: number): number => [...motion.drawn(ms)][0].x
  expect(xAt(1_000)).toBe(before[0].x)
  expect(xAt(1_110)).toBeGreaterThan(before[0].x)
  expect(xAt(1_110)).toBeLessThan(after[0].x)
  expect(motion.isMoving(1_219)).toBe(true)
  expect(xAt(1_220)).toBe(after[0].x)
  expect(motion.isMoving(1_220)).toBe(false)

  const crowd = Array.from({ length: 25 }, (_, at) => block(`c${at}`))
  const many = new Motion()
  many.move(layout([{ ...row, waits: crowd, runs: [] }], 0.005, geometry), 0)
  const swapped = layout([{ ...row, waits: [], runs: crowd }], 0.005, geometry)
  many.move(swapped, 1_000)
  expect([...many.drawn(1_000)].map(({ x }) => x)).toEqual(swapped.map(({ x }) => x))
})
