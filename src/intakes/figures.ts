/** What is counted of intakes, whichever broker. */
import { counters, gauges, histograms, type NumberSource } from '../core/numbers.ts'
import type { Intake } from '../core/ports/intake.ts'

export function createFigures(intakes: () => readonly Intake[]) {
  const at = ['intake', 'pool'] as const
  const published = counters('intake_published', 'Jobs that were published and confirmed', ...at)
  const refused = counters('intake_publish_failed', 'Jobs that the broker did not confirm', ...at)
  const confirmMs = histograms('intake_confirm_ms', 'From a publish to its confirm', ...at)
  const owned = counters('intake_owned', 'Deliveries whose job the coordinator owns', ...at)
  const dead = counters('intake_dead', 'Deliveries that can be no job', ...at, 'code')
  const waits = counters('intake_waits', 'Tries to submit a delivery that found no room, or no store', ...at)
  const held = gauges(
    'intake_held',
    'Deliveries that the broker keeps until they are jobs or dead letters',
    'sum',
    ...at,
  )
  const away = gauges(
    'intake_away',
    'Brokers that are away, take or deliver nothing, or store no dead letters',
    'sum',
    at[0],
  )
  const reconnects = counters('intake_reconnects', 'Connections to brokers after the first ones', at[0])
  const source: NumberSource = {
    metrics: [],
    families: [published, refused, confirmMs, owned, dead, waits, held, away, reconnects],
    refresh() {
      for (const intake of intakes()) {
        const { name } = intake
        for (const [pool, count] of intake.held()) {
          held.of(name, pool).set(count)
          // What begins above 0 is no increase to whoever watches
          dead.of(name, pool, 'invalid_request')
        }
        away.of(name).set(intake.health().ok ? 0 : 1)
        const counted = reconnects.of(name)
        counted.add(intake.reconnects() - counted.value)
      }
    },
  }
  return { published, refused, confirmMs, owned, dead, waits, source }
}

export type Figures = ReturnType<typeof createFigures>
