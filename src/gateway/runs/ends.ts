/** Cancels of runs that nobody finishes: who began one has died, or could not reach the store. */
import type { GatewayDeps } from '../deps.ts'
import { createRunReads, type RunReads } from './reads.ts'
import type { Runs } from './runs.ts'

const LOOK_MS = 5_000
const AT_ONCE = 100

type Deps = Pick<GatewayDeps, 'jobs' | 'operations' | 'clock' | 'onFault'>

export class RunEnds {
  readonly #deps: Deps
  readonly #runs: Runs
  readonly #reads: RunReads
  #isLooking = false
  #stop: (() => void) | null = null

  constructor(deps: Deps, runs: Runs) {
    this.#deps = deps
    this.#runs = runs
    this.#reads = createRunReads(deps, runs)
  }

  begin(): void {
    this.#stop ??= this.#deps.clock.every(LOOK_MS, () => void this.#look())
    void this.#look()
  }

  stop(): void {
    this.#stop?.()
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    const failed = (error: unknown): void => this.#deps.onFault(error, 'runs')
    try {
      for (const { tenant, run } of await this.#runs.ending(AT_ONCE))
        await this.#reads.end(tenant, run.name, run.ending?.by ?? null).catch(failed)
    } catch (error) {
      failed(error)
    } finally {
      this.#isLooking = false
    }
  }
}
