/** What is counted of intakes, whichever broker. */
import { counters, gauge, histograms, type Metric, type NumberSource } from '../core/numbers.ts'
import type { Intake } from '../core/ports/intake.ts'

export function createFigures(intakes: () => readonly Intake[], held: () => number) {
  const published = counters('intake_published', 'Jobs that were published and confirmed', 'intake')
  const refused = counters('intake_publish_failed', 'Jobs that the broker did not confirm', 'intake')
  const confirmMs = histograms('intake_confirm_ms', 'From a publish to its confirm', 'intake')
  const owned = counters('intake_owned', 'Deliveries whose job the coordinator owns', 'intake')
  const dead = counters('intake_dead', 'Deliveries that can be no job', 'intake', 'code')
  const waits = counters('intake_waits', 'Tries to submit a delivery that found no room, or no store', 'intake')
  const metrics: readonly Metric[] = [
    gauge('intake_held', 'Deliveries without a verdict', held),
    gauge('intake_reconnects', 'Connections to brokers after the first ones', () =>
      intakes().reduce((sum, intake) => sum + intake.reconnects(), 0),
    ),
    gauge('intake_away', 'Brokers that are not there', () => intakes().filter((intake) => !intake.health().ok).length),
  ]
  const source: NumberSource = { metrics, families: [published, refused, confirmMs, owned, dead, waits] }
  return { published, refused, confirmMs, owned, dead, waits, source }
}

export type Figures = ReturnType<typeof createFigures>
