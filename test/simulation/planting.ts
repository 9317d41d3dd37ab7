/** How bugs are planted into what is simulated. */

/** `real`, with some of its methods replaced. */
export function wrap<T extends object>(real: T, other: Partial<T>): T {
  return new Proxy(real, {
    get(_target, key) {
      const own: unknown = Reflect.get(key in other ? other : real, key)
      return typeof own === 'function' ? own.bind(real) : own
    },
  })
}

/** Replaces a method, from the call of what it returns to the call of what that returns. */
export function broken<T extends object, K extends keyof T>(
  of: T,
  name: K,
  make: (real: T[K]) => T[K],
): () => () => void {
  return () => {
    const real = of[name]
    of[name] = make(real)
    return () => {
      of[name] = real
    }
  }
}

/** Applies only to each n-th call. */
export function eachNth(n: number): () => boolean {
  let calls = 0
  return () => ++calls % n === 0
}
