/**
 * Asks engines of one's own, now and then, whether they work. Each process that calls them may: whoever's turn comes
 * first asks, and tells the others, whose turns then begin anew. So a fleet asks each engine about once an interval,
 * whoever lives, and one that fails is looked at again by another one, from another machine.
 */
import type { Clock } from '../../core/clock.ts'
import type { CheckReport, EngineCheck } from '../../core/engine-check.ts'
import type { Page, Provider } from '../../core/ports/provider.ts'
import type { EngineChecks } from '../../settings/provider.ts'
import { type EngineLoad, loadIn } from './load.ts'

/** One engine. */
export interface Target {
  /** The same: the same engine, asked in the same way. */
  readonly key: string
  readonly deployments: readonly string[]
  readonly checks: EngineChecks
  readonly look: NonNullable<Provider['look']>
}

export interface CheckerDeps {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly jitter: () => number
  /** Tells everybody, this process included: see `heard`. */
  readonly tell: (reports: readonly CheckReport[]) => void
}

/** Asked at one time, by one process. */
const AT_ONCE = 16
const BUSY_MS = 100
/** Turns differ by up to this share of the interval, so that one comes first. */
const SPREAD = 0.25
/** The first looks of a start. */
const FIRST_MS = 1_000
/** After the first one that failed. */
const AGAIN_MS = 1_000
/** What was found counts for so many intervals. */
const HOLDS = 3
const MAX_METRICS_BYTES = 1024 * 1024
/** Where a page tells no load, so many checks go by before it is asked for again. */
const METRICS_EVERY = 12

const NO_LOAD: EngineLoad = { running: null, waiting: null }

class Turn {
  target: Target
  failures = 0
  isAsking = false
  withoutMetrics = 0
  cancel: () => void = () => {}

  constructor(target: Target) {
    this.target = target
  }
}

export class Checker {
  readonly #deps: CheckerDeps
  readonly #turns = new Map<string, Turn>()
  #asking = 0

  constructor(deps: CheckerDeps) {
    this.#deps = deps
  }

  /** These, from now on. */
  follow(targets: readonly Target[]): void {
    const keys = new Set(targets.map(({ key }) => key))
    for (const [key, turn] of this.#turns) if (!keys.has(key)) this.#forget(key, turn)
    for (const target of targets) {
      const turn = this.#turns.get(target.key)
      if (turn === undefined) {
        const made = new Turn(target)
        this.#turns.set(target.key, made)
        this.#in(made, this.#deps.jitter() * Math.min(FIRST_MS, target.checks.intervalMs))
      } else turn.target = target
    }
  }

  /** Somebody has asked: the next turn begins. */
  heard(reports: readonly CheckReport[]): void {
    const by = new Map(reports.map((report) => [report.deployment, report]))
    for (const turn of this.#turns.values()) {
      const name = turn.target.deployments.find((deployment) => by.has(deployment))
      if (name === undefined) continue
      turn.failures = by.get(name)!.ok === false ? turn.failures + 1 : 0
      if (!turn.isAsking) this.#next(turn)
    }
  }

  stop(): void {
    for (const [key, turn] of this.#turns) this.#forget(key, turn)
  }

  #forget(key: string, turn: Turn): void {
    turn.cancel()
    this.#turns.delete(key)
  }

  #next(turn: Turn): void {
    const { intervalMs } = turn.target.checks
    const ms = turn.failures === 1 ? Math.min(AGAIN_MS, intervalMs) : intervalMs
    this.#in(turn, ms * (1 + SPREAD * this.#deps.jitter()))
  }

  #in(turn: Turn, ms: number): void {
    turn.cancel()
    turn.cancel = this.#deps.clock.after(ms, () => void this.#ask(turn))
  }

  async #ask(turn: Turn): Promise<void> {
    if (this.#asking >= AT_ONCE) return this.#in(turn, BUSY_MS * (1 + this.#deps.jitter()))
    const { target } = turn
    turn.isAsking = true
    this.#asking++
    const check = await this.#check(turn)
    this.#asking--
    turn.isAsking = false
    if (this.#turns.get(target.key) !== turn) return
    // Until it is heard of again, which is at once, or never where the store is away
    this.#next(turn)
    // A fault of this machine tells nothing of the engine: others ask
    if (check === null) return
    this.#deps.tell(turn.target.deployments.map((deployment) => ({ deployment, ...check })))
  }

  async #check(turn: Turn): Promise<EngineCheck | null> {
    const { checks, look } = turn.target
    const { path, metricsPath, intervalMs, timeoutMs } = checks
    const { clock } = this.#deps
    const fromMono = clock.monoMs()
    const answer = await look(path, { timeoutMs, maxBytes: 0 })
    if ('failure' in answer && answer.isLocal === true) return null
    const verdict = verdictOf(answer)
    const tookMs = clock.monoMs() - fromMono
    let load = NO_LOAD
    if (verdict.ok === true && metricsPath !== null && turn.withoutMetrics-- <= 0) {
      const page = await look(metricsPath, { timeoutMs, maxBytes: MAX_METRICS_BYTES })
      if ('text' in page && page.status === 200) load = loadIn(page.text)
      // A page that failed may tell it the next time, and one that is slow is so under the greatest load
      const isTold = 'status' in page && verdictOf(page).ok !== false
      if (isTold && load.running === null && load.waiting === null) turn.withoutMetrics = METRICS_EVERY
    }
    return { ...verdict, ...load, tookMs, holdsMs: HOLDS * (1 + SPREAD) * intervalMs + 2 * timeoutMs }
  }
}

/** Only what the engine's own failure explains is one: a page that is not there tells nothing. */
export function verdictOf(page: Page): Pick<EngineCheck, 'ok' | 'why'> {
  if ('failure' in page) return { ok: false, why: page.failure }
  const { status } = page
  const why = `HTTP ${status}`
  if (status >= 200 && status < 300) return { ok: true, why }
  return { ok: status >= 500 && status !== 501 ? false : null, why }
}
