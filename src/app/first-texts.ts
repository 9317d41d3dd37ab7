/** When first texts came to this process, for the delivery of those that are read here. */
import type { Clock } from '../core/clock.ts'
import type { Fact } from '../core/facts.ts'
import type { JobId } from '../core/job.ts'
import type { FirstText } from '../core/ports/delivery.ts'
import { Table } from '../core/table.ts'

/** A text that is not delivered after that, or twice that, has no live reader. */
const KEPT_MS = 10_000

/** In two generations: an attempt may have ended before its first text is written, so its end removes nothing. */
export function firstTexts(
  observe: (observe: (fact: Fact) => void) => void,
  clock: Pick<Clock, 'monoMs'>,
): (job: JobId) => FirstText | null {
  let young = new Table<JobId, FirstText>()
  let old = new Table<JobId, FirstText>()
  let sinceMono = clock.monoMs()
  observe((fact) => {
    if (fact.type !== 'first-token-received') return
    const receivedMono = clock.monoMs()
    if (receivedMono - sinceMono >= KEPT_MS) {
      old = young
      young = new Table()
      sinceMono = receivedMono
    }
    young.set(fact.job, { receivedMono, parts: fact.parts })
  })
  return (job) => young.get(job) ?? old.get(job) ?? null
}
