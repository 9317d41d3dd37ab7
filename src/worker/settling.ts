/** Tells and stores the outcome of an attempt, which ends its lease. */
import { crashpoint } from '../core/crashpoint.ts'
import { failureOf } from '../core/facts.ts'
import type { Deployment } from '../core/ports/provider.ts'
import type { Outcome } from '../core/ports/work.ts'
import type { Attempt } from './attempt.ts'
import { stoppedBy } from './outcomes.ts'

export class Settling {
  readonly #attempt: Attempt
  readonly #ended: () => void
  /** Its finish threw, and it was ended as failed. */
  #hasFailed = false

  /** `ended`: the lease is over here. */
  constructor(attempt: Attempt, ended: () => void) {
    this.#attempt = attempt
    this.#ended = ended
  }

  finish(outcome: Outcome): void {
    try {
      this.#tell(outcome)
      this.#store(withSent(this.#attempt, withQuota(this.#attempt, outcome)))
    } catch (thrown) {
      this.#unfinished(thrown)
    }
  }

  #store(outcome: Outcome): void {
    const { deps, lease, race } = this.#attempt
    deps.finish(lease, race === null ? outcome : { ...outcome, race }).then(this.#finished, this.#unfinished)
  }

  readonly #finished = (): void => {
    crashpoint('after-finish')
    this.#ended()
  }

  /** Where the store failed the lease stays open, and a restart takes the job up again. */
  readonly #unfinished = (thrown: unknown): void => {
    const error = this.#attempt.foreseen(thrown)
    if (error.code !== 'internal' || this.#hasFailed) return this.#ended()
    // A fault of ours: without an end the job would stay leased for as long as this process runs
    this.#hasFailed = true
    this.#store({ kind: 'failed', error, retry: false, ...this.#attempt.spent() })
  }

  #tell(outcome: Outcome): void {
    const { deps, claim, quota, calling, times, answer } = this.#attempt
    const { attemptUsage: usage, cost } = outcome
    deps.emit({
      ...this.#attempt.about(),
      type: 'attempt-ended',
      ...stoppedBy(outcome),
      ...(claim.isHedge && { isHedge: true }),
      ...failureOf(outcome.kind === 'failed' ? outcome.error : null),
      ...(usage && { usage }),
      ...(cost && { cost }),
      ...(quota !== undefined && { quota }),
      ...(calling !== null && times.took(deps.clock.monoMs(), calling, answer.lastChunk)),
    })
  }
}

/** With what the upstream told of its limits: it was true when its head came. */
function withQuota({ quota, times, deps }: Attempt, outcome: Outcome): Outcome {
  if (quota === undefined || (outcome.kind !== 'done' && outcome.kind !== 'failed')) return outcome
  const agoMs = times.sinceFirstChunkMs(deps.clock.monoMs())
  return { ...outcome, quota: { ...quota, agoMs: Math.max(0, Math.round(agoMs)) } }
}

/** With when its provider counted it, where that is of interest. */
function withSent({ calling, deps }: Attempt, outcome: Outcome): Outcome {
  const sentMono = calling?.call.sentMono ?? null
  if (sentMono === null || !isLimited(calling!.deployment)) return outcome
  if (outcome.kind !== 'done' && outcome.kind !== 'failed') return outcome
  return { ...outcome, sentAgoMs: Math.max(0, Math.round(deps.clock.monoMs() - sentMono)) }
}

const isLimited = ({ requestsPerMinute, tokensPerMinute }: Deployment): boolean =>
  requestsPerMinute != null || tokensPerMinute != null
