/** Runs of agents: PROTOCOL.md section 4. Members are as on the wire. */
import type { WireJob } from '../../src/core/frames.ts'
import type { Session } from './session.ts'

type JobState = WireJob['state']

/** What all jobs of a run may use together; a member that is left out, or null: as the limits allow. */
export interface RunBudget {
  /** Of prompts and answers. */
  readonly tokens?: number | null
  readonly usd?: number | null
  /** Jobs that used something. */
  readonly steps?: number | null
  /** The longest chain of parents. */
  readonly depth?: number | null
}

export interface RunRequest {
  /** Its name, as jobs give it as `run`; absent: a new one. */
  readonly id?: string
  readonly budget?: RunBudget
  readonly metadata?: Readonly<Record<string, string>>
  /** False: it is meant to repeat its tool calls. */
  readonly loop_guard?: boolean
}

export interface RunTotals {
  readonly jobs: number
  readonly states: Readonly<Partial<Record<JobState, number>>>
  readonly prompt_tokens: number
  readonly completion_tokens: number
  /** As they were charged, whatever has become of the jobs; so are the two below. */
  readonly total_tokens: number
  readonly usd: number
  readonly steps: number
  readonly depth: number
  /** It had more jobs than are added up: some are not kept any longer, or there are too many. */
  readonly is_partial: boolean
}

export interface Run {
  readonly id: string
  readonly object: 'run'
  /** `running`: some of its jobs live; `idle`: none does; `open`, of one that was just begun: not looked at. */
  readonly state: 'open' | 'running' | 'idle' | 'canceled'
  /** Seconds since 1970, as below. */
  readonly created_at: number
  readonly canceled_at: number | null
  readonly budget: Readonly<Record<keyof RunBudget, number | null>>
  readonly loop_guard: boolean
  readonly metadata: Readonly<Record<string, string>>
}

export interface RunJob {
  readonly id: string
  readonly state: JobState
  readonly model: string
  readonly metadata: Readonly<Record<string, string>>
  readonly parent: string | null
  readonly after: readonly string[]
  readonly depth: number
  readonly attempts: number
  readonly accepted_at_ms: number
  readonly ended_at_ms: number | null
  /** Since it was accepted, ms. */
  readonly queued_ms: number | null
  readonly ttft_ms: number | null
  readonly total_ms: number | null
  readonly prompt_tokens: number | null
  readonly completion_tokens: number | null
  /** By the price that it was held at: the dearest. Null: nobody knows. */
  readonly usd_at_most: number | null
  /** Its code. */
  readonly error: string | null
}

/** A page of a list: `next` is the `after` of the page that follows; null: there is none. */
interface Paged {
  readonly has_more: boolean
  readonly next: string | null
}

type Counted = 'tokens' | 'usd' | 'steps'

export interface RunUse {
  readonly totals: RunTotals
  /** What jobs that run, or wait for their turn, may still come to. */
  readonly held: Readonly<Record<Counted, number>>
  /** Of its budget, less what is held; null: that is not limited. */
  readonly remaining: Readonly<Record<Counted, number | null>>
}

export interface RunPage extends Run, RunUse, Paged {
  /** Oldest first. */
  readonly jobs: readonly RunJob[]
}

export interface RunList extends Paged {
  /** Newest first, with sums of their last jobs. */
  readonly data: ReadonlyArray<Run & RunUse>
}

/** With how many jobs are ended, and how many go on: those of other keys, without the scope `manage`. */
export interface CanceledRun extends Run {
  readonly canceled: number
  readonly left: number
}

export interface Page {
  readonly limit?: number
  readonly after?: string
}

/** All of them throw SluiceError. */
export interface Runs {
  /** A run without a budget need not be begun: its first job does. `run_exists`: it is there with another one. */
  create(request?: RunRequest): Promise<Run>
  /** With its sums, and a page of its jobs (100; at most 1,000). `run_not_found`. */
  get(id: string, page?: Page): Promise<RunPage>
  /** 20 of them; at most 100. */
  list(page?: Page): Promise<RunList>
  /** Ends its jobs, and refuses what it still sends. Any number of times. */
  cancel(id: string): Promise<CanceledRun>
}

const PATH = '/v1/runs'

export function createRuns({ http }: Pick<Session, 'http'>): Runs {
  const of = (id: string): string => `${PATH}/${encodeURIComponent(id)}`
  const paged = (path: string, { limit, after }: Page = {}): string => {
    const query = new URLSearchParams()
    if (limit !== undefined) query.set('limit', String(limit))
    if (after !== undefined) query.set('after', after)
    return query.size === 0 ? path : `${path}?${query}`
  }
  return {
    create: (request = {}) => http('POST', PATH, request) as Promise<Run>,
    get: (id, page) => http('GET', paged(of(id), page)) as Promise<RunPage>,
    list: (page) => http('GET', paged(PATH, page)) as Promise<RunList>,
    cancel: (id) => http('POST', `${of(id)}/cancel`) as Promise<CanceledRun>,
  }
}
