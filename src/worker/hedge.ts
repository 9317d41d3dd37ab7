/**
 * A second call of an attempt, elsewhere, where its first one shows nothing for long (race.ts): made here, and what
 * became of the one that does not go on is told.
 */
import type { ErrorCode } from '../core/errors.ts'
import type { Usage } from '../core/job.ts'
import type { Provider, ProviderEnd, ProviderRun, ProviderSink } from '../core/ports/provider.ts'
import type { Claim } from '../core/ports/work.ts'
import type { Bytes } from '../core/record.ts'
import type { Cost } from '../core/usage-record.ts'
import type { Attempt } from './attempt.ts'
import { asksForStream, type Calling, callOf, forModel, priceAt } from './call.ts'
import { Meter } from './meter.ts'
import { FREE } from './outcomes.ts'
import { type Lost, Race } from './race.ts'

export interface HedgeEnds {
  /** Which call goes on is known, before anything of it is told. `second`: null where it is the first. */
  readonly decided: (second: Calling | null) => void
  /** Nobody above a timer would catch it. */
  readonly threw: (thrown: unknown) => void
}

export class Hedge {
  readonly #attempt: Attempt
  readonly #ends: HedgeEnds
  readonly #race: Race
  #second: Calling | null = null

  /** `to`: takes what goes on. `afterMs`: from now on, as its first call is made. */
  constructor(attempt: Attempt, to: ProviderSink, afterMs: number, ends: HedgeEnds) {
    const { deps, lease } = attempt
    this.#attempt = attempt
    this.#ends = ends
    this.#race = new Race(to, afterMs, deps.clock, {
      ask: () => deps.hedge(lease),
      prepare: (claim) => this.#prepare(claim),
      decided: (lost) => this.#decided(lost),
      unused: (lost) => this.#tell(lost),
      threw: ends.threw,
    })
  }

  /** What the first call is told to. */
  get first(): ProviderSink {
    return this.#race.first
  }

  began(call: ProviderRun): void {
    this.#race.began(call)
  }

  /** Both calls are given up. */
  stop(): void {
    const { stop } = this.#attempt
    // A lost lease is nobody's to tell of
    this.#race.stop(stop === 'lost' ? null : stop === 'released' ? 'released' : 'canceled')
  }

  isUsing(provider: Provider): boolean {
    return this.#second?.deployment.provider === provider
  }

  async #prepare(claim: Claim): Promise<((sink: ProviderSink) => ProviderRun) | null> {
    const { lease, deps } = this.#attempt
    const { job, attempt } = lease
    const deployment = deps.deployment(claim.deployment, job.tenant)
    if (deployment === null || !asksForStream(deployment, job)) return null
    const body = forModel(await deps.prompt(lease, deployment, () => this.#attempt.stopped), job, deployment, claim)
    return (sink) => {
      const price = priceAt(deps, lease, deployment, claim)
      const calledMono = deps.clock.monoMs()
      const name = `${job.id}.${attempt}.hedge`
      const call = deployment.provider.start(callOf(job, deployment, { name, body }), sink)
      this.#second = { claim, deployment, price, calledMono, call }
      return call
    }
  }

  #decided(lost: Lost | null): void {
    const second = this.#second
    if (lost === null || second === null) return this.#ends.decided(null)
    this.#tell(lost, lost.won === 'first' ? second.price : this.#attempt.calling!.price)
    this.#ends.decided(lost.won === 'second' ? second : null)
  }

  /** `price`: of the call that does not go on. */
  #tell({ won, end, told, held }: Lost, price?: (usage: Usage) => Cost): void {
    const { lease, deps, stop, times } = this.#attempt
    const failure = told?.kind === 'failed' ? told : null
    const usage = held === null ? undefined : this.#usageOf(held, failure?.error.code)
    const cost = usage && price?.(usage)
    const result = {
      won,
      end,
      ...(failure !== null && { failure: failureOf(failure) }),
      ...(usage && { usage }),
      ...(cost && { cost }),
    }
    this.#attempt.race = result
    if (stop === 'lost') return
    deps.raced(lease, result)
    const second = this.#second
    if (second === null || usage === undefined) return
    const [hedge, first] = [second.claim.deployment, lease.claim.deployment]
    deps.emit({
      ...this.#attempt.about(),
      type: 'attempt-hedged',
      ...(won === 'first' ? { deployment: hedge, other: first } : { deployment: first, other: hedge }),
      code: failure?.error.code ?? null,
      won,
      end,
      afterMs: second.calledMono - times.beganMono,
      tookMs: deps.clock.monoMs() - second.calledMono,
      usage,
      ...(cost && { cost }),
    })
  }

  /** Of a call that is not the attempt. */
  #usageOf(held: readonly Bytes[], code?: ErrorCode): Usage {
    const { job, body } = this.#attempt.lease
    const meter = new Meter(job.promptTokens, body.length)
    for (const record of held) meter.see(record)
    if (code !== undefined && FREE.has(code)) meter.refused()
    return meter.attemptUsage()
  }
}

const failureOf = ({ error: { code, retryAfterMs }, retry }: ProviderEnd & { kind: 'failed' }) => ({
  code,
  ...(retryAfterMs !== undefined && { retryAfterMs }),
  elsewhere: retry === 'elsewhere',
})
