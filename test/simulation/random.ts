/** Random choices that a seed decides, so that a run can be had again. */
export interface Random {
  /** 0 … n - 1 */
  below(n: number): number
  chance(p: number): boolean
  of<T>(items: readonly T[]): T
}

/** mulberry32 */
export function random(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    below: (n) => Math.floor(next() * n),
    chance: (p) => next() < p,
    of: (items) => items[Math.floor(next() * items.length)],
  }
}
