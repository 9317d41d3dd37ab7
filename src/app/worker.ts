/** The worker: takes leases, asks providers, writes what they answer. */
import { createAnswerGuards } from '../admission/answers.ts'
import type { Job, TenantId } from '../core/job.ts'
import type { Engine } from '../core/ports/engine.ts'
import { costing } from '../ledger/cost.ts'
import type { Catalogue } from '../routing/catalogue.ts'
import { startPool, type WorkerPool } from '../worker/pool.ts'
import { createPrompts } from '../worker/prompt.ts'
import { createReplays } from '../worker/replay.ts'
import type { Settings } from './in-force.ts'
import { mediaExpiry } from './media.ts'
import { createModerator } from './moderation.ts'
import type { TenantKeys } from './own-keys.ts'
import { pricesOf } from './prices.ts'
import type { Runtime } from './runtime.ts'

const MAX_PENDING_BYTES = 1 << 20
/** No attempt takes longer. */
const MAX_ATTEMPT_MS = 86_400_000
/** Of an answer that has ended: whoever reads it then may be slow. */
const READING_MS = 600_000
/** Deployments that are told of in the log. */
const MOST_LACKING = 1_000

/** In a process that only serves clients. */
export const NO_WORKER: WorkerPool = {
  metrics: [],
  runs: () => false,
  breakCall: () => false,
  isUsing: () => false,
  drain: async () => {},
  drained: () => ({ jobsFinished: 0, jobsHandedBack: 0 }),
}

export function startWorker(
  settings: Settings,
  engine: Pick<Engine, 'work' | 'jobs' | 'log' | 'conversations' | 'files' | 'wallMs'>,
  { catalogue, ownKeys }: { readonly catalogue: Catalogue; readonly ownKeys: TenantKeys },
  runtime: Runtime,
): WorkerPool {
  const { work, jobs, log, conversations, files } = engine
  const { config } = settings
  const expiry = mediaExpiry(settings, engine)
  const expiresAtMs = ({ tenant }: Pick<Job, 'tenant'>, endsNow: boolean): number | null =>
    expiry(tenant, endsNow ? READING_MS : MAX_ATTEMPT_MS)
  const { clock, ids, emit, log: report } = runtime
  const lacking = new Set<string>()
  /** Once for as long as it is not there. */
  const tellLacking = (deployment: string): void => {
    if (lacking.has(deployment) || lacking.size >= MOST_LACKING) return
    lacking.add(deployment)
    report.warn({ deployment }, 'jobs for a deployment that is not in force in this process are handed back')
  }
  const moderator = createModerator(() => settings.config.proxy, runtime)
  const onFault = (err: unknown, { id: job }: Job): void => report.error({ err, job }, 'unforeseen error')
  const guardsOf = (tenant: TenantId) => settings.tenant(tenant)?.guards
  const pool = startPool(
    work,
    {
      deployment(name, tenant) {
        const found = catalogue.deployment(name)
        if (found === null) {
          tellLacking(name)
          return null
        }
        lacking.delete(name)
        return ownKeys.of(found, tenant)
      },
      hasOther: ({ kind, model }, name) =>
        catalogue.resolve(model)?.deployments.some((other) => other.name !== name && other.kinds.includes(kind)) ??
        false,
      hasInstead: ({ model, instead = [] }) =>
        catalogue.resolve(model)?.fallbacks.contentPolicy.some((name) => instead.some((one) => one.model === name)) ??
        false,
      replay: createReplays({ log, clock }),
      open: (lease) => log.open(lease),
      read: (job, afterSeq, maxBytes) => log.read(job, afterSeq, maxBytes),
      guards: createAnswerGuards(guardsOf, { moderate: moderator.ask, emit, onFault }),
      hedge: (lease) => work.hedge(lease),
      raced: (lease, race) => work.raced(lease, race),
      finish: (lease, outcome) => work.finish(lease, outcome),
      price: costing(pricesOf(settings, catalogue), clock),
      clock,
      emit,
      onFault,
      prompt: createPrompts({ ...config.conversations, conversations, jobs, log, clock }),
      media: { files, clock, expiresAtMs },
      maxAnswerBytes: config.http.maxAnswerBytes,
      maxPendingBytes: MAX_PENDING_BYTES,
    },
    clock,
    { ...config.workers, id: `worker-${Buffer.from(ids.random(8)).toString('hex')}` },
  )
  ownKeys.attach(pool.isUsing)
  return {
    ...pool,
    async drain(ms) {
      await pool.drain(ms)
      moderator.close()
    },
  }
}
