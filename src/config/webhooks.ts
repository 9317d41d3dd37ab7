/** Settings of webhooks. */
import { z } from 'zod'
import { count, duration, list } from '../settings/fields.ts'

export const webhooks = z
  .strictObject({
    allow: list()
      .prefault([])
      .describe(
        'Hosts that webhooks may be sent to although they are not on the public internet, by http too and at any ' +
          'port: `hooks.internal`, `10.0.0.7:8080`. Any other is reached by https, at port 443, on public addresses.',
      ),
    max_per_tenant: count({ min: 0, max: 100 }).prefault(20).describe('Webhooks of a tenant.'),
    timeout_ms: duration({ min: 100, max: 60_000 })
      .prefault('10s')
      .describe('How long a receiver may take for its answer; what it does of it should come after the answer.'),
    keep_ms: duration({ min: 60_000 })
      .prefault('7d')
      .describe('How long events and what became of them are kept, to be looked at and delivered again.'),
  })
  .prefault({})
  .describe('Webhooks: who is told of ends (docs/webhooks.md).')
