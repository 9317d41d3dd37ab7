/** At most this many at once; the others wait in line. */
export interface Places {
  /** Is somebody waiting? */
  readonly wanted: boolean
  take(work: () => Promise<void>): Promise<void>
}

export function createPlaces(most: number): Places {
  const inLine: Array<() => void> = []
  let taken = 0
  return {
    get wanted() {
      return inLine.length > 0
    },
    async take(work) {
      if (taken < most) taken++
      else await new Promise<void>((go) => inLine.push(go))
      try {
        await work()
      } finally {
        // The place is handed on, so that nobody slips in between
        const next = inLine.shift()
        if (next === undefined) taken--
        else next()
      }
    },
  }
}
