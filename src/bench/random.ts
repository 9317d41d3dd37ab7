/** Numbers from a seed, the same everywhere (mulberry32): a run and the one that it is compared with need the same. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** A whole number from 0 to below `below`. */
  below(below: number): number
  /** Normal, mean 0, deviation 1. */
  normal(): number
  /** Exponential, mean 1. */
  exponential(): number
  /** Gamma of this shape, mean 1. */
  gamma(shape: number): number
}

export function random(seed: number): Random {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 0x1_0000_0000
  }
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  /** Marsaglia and Tsang, for shapes from 1 on. */
  const gammaFrom1 = (shape: number): number => {
    const d = shape - 1 / 3
    const c = 1 / Math.sqrt(9 * d)
    for (;;) {
      const x = normal()
      const v = (1 + c * x) ** 3
      if (v > 0 && Math.log(1 - next()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v
    }
  }
  return {
    next,
    below: (below) => Math.floor(next() * below),
    normal,
    exponential: () => -Math.log(1 - next()),
    gamma(shape) {
      if (shape >= 1) return gammaFrom1(shape) / shape
      return (gammaFrom1(shape + 1) * (1 - next()) ** (1 / shape)) / shape
    },
  }
}

/** Another seed for each thing that is drawn: from a seed and any numbers. */
export function seedOf(seed: number, ...more: readonly number[]): number {
  let mixed = seed | 0
  for (const number of more) {
    mixed = Math.imul(mixed ^ (number + 0x9e3779b9), 0x85ebca6b)
    mixed ^= mixed >>> 13
    mixed = Math.imul(mixed, 0xc2b2ae35)
    mixed ^= mixed >>> 16
  }
  return mixed
}
