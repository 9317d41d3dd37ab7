/** Several processes may share the ports of a server: what one of them is asked holds for all. */
import type { SluiceError } from '../core/errors.ts'
import type { JobId } from '../core/job.ts'
import type { GatewayDeps } from '../gateway/deps.ts'
import { CONTENT_TYPES, exposition, formOf } from '../observability/prometheus/text.ts'
import { type Reading, statsOf, sum } from '../observability/registry.ts'
import type { Reloaded } from './in-force.ts'

/** `kill`: end the worker that runs this job, or break its call. */
export type Question = 'numbers' | 'reload' | { readonly kill: JobId }
/** What was killed; null: the job does not run there. */
export type Killed = 'worker' | 'call' | null

export interface Siblings {
  /**
   * What each of them answers to App.answer, this one included. Who does not answer in time is left out; rejects with
   * the error of any of them.
   */
  ask(question: Question): Promise<readonly unknown[]>
  /** Why another one takes no work; null: all do. */
  readonly refusal: SluiceError | null
  /** Kills this process, at once but for the answer that is on its way: its parent starts another one. */
  die(): void
  /** It tells the operator what each of them would. */
  readonly isFirst: boolean
}

/** What this process alone would answer. */
export interface Own extends Pick<GatewayDeps, 'health'> {
  numbers(): Promise<readonly Reading[]>
  reload(): Promise<Reloaded>
  kill(job: JobId): Promise<Killed>
}

/** What the gateway answers: each request may reach any of the processes. */
export function ofAll(
  own: Own,
  siblings: Siblings | undefined,
  turn: () => Promise<void>,
): Pick<GatewayDeps, 'health' | 'stats' | 'metrics' | 'reload' | 'kill'> {
  const read = async (): Promise<readonly Reading[]> =>
    siblings === undefined ? own.numbers() : sum((await siblings.ask('numbers')) as ReadonlyArray<readonly Reading[]>)
  const numbers = {
    stats: async () => statsOf(await read()),
    metrics: async (accept: string | undefined) => {
      const form = formOf(accept)
      return { type: CONTENT_TYPES[form], text: exposition(await read(), form, turn) }
    },
  }
  if (siblings === undefined) return { ...own, ...numbers }
  return {
    ...numbers,
    async reload() {
      const [reloaded] = (await siblings.ask('reload')) as readonly Reloaded[]
      return reloaded
    },
    kill: async (job) => ((await siblings.ask({ kill: job })) as readonly Killed[]).find((one) => one !== null) ?? null,
    health() {
      const health = own.health()
      const { refusal } = siblings
      return health.ok && refusal !== null ? { ok: false, error: refusal } : health
    },
  }
}
