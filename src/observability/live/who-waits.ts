/** Who waits, and for what, by the jobs whose marks are here: of all, and of each model. */
import type { JobId, Place } from '../../core/job.ts'
import type { Selector } from '../../core/ports/operations.ts'
import type { Paused, Waits } from '../brief/situation.ts'
import type { Trace } from '../traces/traces.ts'

/** Jobs in line that are asked what they wait for: of each of so many models. */
const ASKED = 20
const MODELS = 3

export const NO_WAITS: Waits = { limit: null, most: null }

export interface WhoWaitsAsked {
  readonly paused: readonly Selector[]
  /** As the configuration names a model. */
  readonly nameOf: (model: string) => string
  /** A model whose jobs are asked before others; null: the one with the most. */
  readonly first: string | null
  readonly places: (jobs: readonly JobId[]) => Promise<ReadonlyMap<JobId, Place>>
}

export interface WhoWaits {
  readonly all: Waits
  /** `held`: jobs that any pause holds. */
  readonly models: ReadonlyMap<string, { readonly waits: Waits; readonly held: number }>
  /** As the pauses were given. */
  readonly paused: ReadonlyArray<Pick<Paused, 'share' | 'of'>>
}

class Crowd {
  jobs = 0
  held = 0
  readonly tenants = new Map<string, number>()
  readonly asked: JobId[] = []
  /** By pause. */
  readonly holds: number[]

  constructor(pauses: number) {
    this.holds = Array.from({ length: pauses }, () => 0)
  }
}

export async function whoWaits(traces: Iterable<Trace>, asked: WhoWaitsAsked): Promise<WhoWaits> {
  const { paused, nameOf, first, places } = asked
  const all = new Crowd(paused.length)
  const models = new Map<string, Crowd>()
  for (const { state, tenant, model, job } of traces) {
    if (state !== 'queued' && state !== 'waiting') continue
    const name = nameOf(model)
    const own = models.get(name) ?? new Crowd(paused.length)
    models.set(name, own)
    const holding = paused.flatMap((each, i) =>
      each.lane === undefined && (each.tenant ?? tenant) === tenant && (each.model ?? model) === model ? [i] : [],
    )
    for (const crowd of [all, own]) {
      crowd.jobs++
      if (holding.length > 0) crowd.held++
      for (const i of holding) crowd.holds[i]++
      crowd.tenants.set(tenant, (crowd.tenants.get(tenant) ?? 0) + 1)
      if (crowd.asked.length < ASKED) crowd.asked.push(job)
    }
  }
  const closely = [...models]
    .sort(([a, one], [b, other]) => Number(b === first) - Number(a === first) || other.jobs - one.jobs)
    .slice(0, MODELS)
  const ids = [...new Set([all, ...closely.map(([, crowd]) => crowd)].flatMap((crowd) => crowd.asked))]
  const found = ids.length === 0 ? new Map<JobId, Place>() : await places(ids)
  return {
    all: waitsOf(all, found),
    models: new Map([...models].map(([name, crowd]) => [name, { waits: waitsOf(crowd, found), held: crowd.held }])),
    // Which lane a job is of is not among its marks
    paused: paused.map(({ lane }, i) =>
      lane !== undefined || all.jobs === 0
        ? { share: null, of: new Map() }
        : {
            share: all.holds[i] / all.jobs,
            of: new Map([...models].map(([name, { holds, jobs }]) => [name, holds[i] / jobs])),
          },
    ),
  }
}

function waitsOf({ tenants, asked }: Crowd, found: ReadonlyMap<JobId, Place>): Waits {
  const [most] = [...tenants].sort(([, a], [, b]) => b - a)
  const places = asked.flatMap((job) => found.get(job) ?? [])
  const limits = new Map<string, number>()
  for (const { waitingFor } of places) {
    if (waitingFor === undefined) continue
    const name = `${waitingFor.level} ${waitingFor.unit}`
    limits.set(name, (limits.get(name) ?? 0) + 1)
  }
  const [limit] = [...limits].sort(([, a], [, b]) => b - a)
  const [level, unit] = limit?.[0].split(' ') ?? []
  return {
    most: most === undefined ? null : { tenant: most[0], jobs: most[1] },
    limit: limit === undefined ? null : { level, unit, share: limit[1] / places.length },
  }
}
