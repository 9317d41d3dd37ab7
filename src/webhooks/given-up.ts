/** Events that are given up, in a log: the first of a webhook and reason, then how many more, once a minute. */
import type { Clock } from '../core/clock.ts'

export interface GivenUp {
  readonly event: string
  readonly webhook: string
  readonly reason: string
}

const MINUTE_MS = 60_000
/** Webhooks and reasons that are counted at once; of more, each event is told. */
const MOST = 1_000

/** `tell`: `more` are those since the line before, of which `event` is the last; absent: it is the first. */
export function fewLines(
  clock: Pick<Clock, 'after'>,
  tell: (about: GivenUp & { readonly more?: number }) => void,
): (about: GivenUp) => void {
  const counted = new Map<string, { more: number; last: GivenUp }>()
  const look = (of: string): void => {
    const { more, last } = counted.get(of)!
    counted.delete(of)
    if (more === 0) return
    tell({ ...last, more })
    watch(of, last)
  }
  const watch = (of: string, last: GivenUp): void => {
    counted.set(of, { more: 0, last })
    clock.after(MINUTE_MS, () => look(of))
  }
  return (about) => {
    const of = `${about.webhook} ${about.reason}`
    const seen = counted.get(of)
    if (seen !== undefined) {
      seen.more++
      seen.last = about
      return
    }
    tell(about)
    if (counted.size < MOST) watch(of, about)
  }
}
