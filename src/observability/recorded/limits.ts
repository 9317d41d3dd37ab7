import type { LevelKind, Unit } from '../../core/limits.ts'
import { type Counter, counter, counters } from '../../core/numbers.ts'
import type { Recorded } from './recorded.ts'

/** By level, and by what ran out. Whose it was is in the log: names are callers' own. */
export function limits(): Recorded {
  const levels: Readonly<Record<LevelKind, Counter>> = {
    run: counter('limit_refusals_run', 'Submits that the limit of an agent’s run refused'),
    key: counter('limit_refusals_key', 'Submits that the limit of a key refused'),
    user: counter('limit_refusals_user', 'Submits that the limit of an end user refused'),
    tenant_model: counter('limit_refusals_tenant_model', 'Submits that a tenant’s limit for a model refused'),
    tenant: counter('limit_refusals_tenant', 'Submits that the limit of a tenant refused'),
    model: counter('limit_refusals_model', 'Submits that the limit of a model refused'),
    global: counter('limit_refusals_global', 'Submits that the limit of all together refused'),
  }
  const units: Readonly<Record<Unit, Counter>> = {
    input_tokens: counter('limit_refusals_of_input_tokens', 'Submits refused as input tokens ran out'),
    output_tokens: counter('limit_refusals_of_output_tokens', 'Submits refused as output tokens ran out'),
    tokens: counter('limit_refusals_of_tokens', 'Submits refused as tokens ran out'),
    requests: counter('limit_refusals_of_requests', 'Submits refused as requests ran out'),
    nano_dollars: counter('limit_refusals_of_nano_dollars', 'Submits refused as money ran out'),
    spend_velocity: counter('limit_refusals_of_spend_velocity', 'Submits refused as money was spent too fast'),
    running: counter('limit_refusals_of_running', 'Submits refused as no more may run at once'),
  }
  const trips = counter('velocity_trips', 'Levels that spent their budget so fast that their breaker tripped')
  const byLimit = counters('limit_refusals', 'Submits that a limit refused', 'level', 'unit')
  return {
    metrics: [...Object.values(levels), ...Object.values(units), trips],
    families: [byLimit],
    observe(fact) {
      if (fact.type === 'velocity-tripped') return trips.add()
      if (fact.type !== 'limit-refused') return
      levels[fact.limitLevel].add()
      units[fact.unit].add()
      byLimit.of(fact.limitLevel, fact.unit).add()
    },
  }
}
