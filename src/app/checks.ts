/** Checks of engines of one's own, by the processes that call them. */
import type { Work } from '../core/ports/work.ts'
import { Checker, type Target } from '../routing/checks/checks.ts'
import { checksOf, type NamedProvider, originOf } from './models.ts'
import type { Runtime } from './runtime.ts'

export interface EngineChecker {
  /** These providers, from now on. */
  follow(providers: readonly NamedProvider[]): void
  stop(): void
}

/** Of a process that calls nobody. */
export const NO_CHECKS: EngineChecker = { follow() {}, stop() {} }

export function startChecks(
  work: Pick<Work, 'checked' | 'onChecked'>,
  { clock, ids }: Pick<Runtime, 'clock' | 'ids'>,
): EngineChecker {
  const checker = new Checker({ clock, jitter: () => ids.jitter(), tell: (reports) => work.checked(reports) })
  work.onChecked((reports) => checker.heard(reports))
  return {
    follow: (providers) => checker.follow(targetsOf(providers)),
    stop: () => checker.stop(),
  }
}

/** Deployments of one engine are checked as one: an Ollama has many models. */
export function targetsOf(providers: readonly NamedProvider[]): readonly Target[] {
  const targets = new Map<string, Target>()
  for (const { name, model, provider } of providers) {
    const checks = checksOf(model)
    if (checks === null || provider.look === undefined) continue
    const key = JSON.stringify([originOf(model) ?? name, checks])
    const same = targets.get(key)
    const deployments = [...(same?.deployments ?? []), name]
    targets.set(key, same === undefined ? { key, deployments, checks, look: provider.look } : { ...same, deployments })
  }
  return [...targets.values()]
}
