/** Batches of this process: their lines pass the gateway's door, their files are the engine's. */
import { Batches } from '../batches/batches.ts'
import type { Engine } from '../core/ports/engine.ts'
import { isWebhookEvent, type Webhooks } from '../core/ports/webhooks.ts'
import type { Gateway } from '../gateway/deps.ts'
import { isOneOfMany } from './gateway.ts'
import type { Settings } from './in-force.ts'
import type { Intakes } from './intakes.ts'
import type { Runtime } from './runtime.ts'

export function batchesOf(
  { config }: Settings,
  engine: Engine,
  intakes: Pick<Intakes, 'jobs'>,
  { lines }: Pick<Gateway, 'lines'>,
  { announce }: Pick<Webhooks, 'announce'>,
  { clock, ids, log }: Runtime,
): Batches {
  const { window, maxLines } = config.batches
  return new Batches({
    ...{ documents: engine.documents, files: engine.files, jobs: intakes.jobs, clock },
    ...{ submit: lines.submit, result: lines.result, refusal: lines.refusal, wallMs: engine.wallMs },
    async announce({ id, tenant }, status) {
      const type: string = `batch.${status}`
      if (isWebhookEvent(type)) await announce({ tenant, key: `${id}-${status}`, type, data: { id } })
    },
    settings: { window, maxLines, maxBytes: config.http.maxBodyBytes, limits: config.http },
    owner: ids.name('batches', 8),
    isAlone: !isOneOfMany(config),
    onFault: (err, batch) => log.error({ err, batch }, 'a batch stopped; it is tried again'),
  })
}
