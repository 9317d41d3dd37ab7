/** Why a part of the time to first token has grown. */
import type { Words } from '../../core/live.ts'
import type { TtftPart } from '../../core/measure.ts'
import { delayedModels, whyInLine } from './line-causes.ts'
import type { DeploymentNow, Situation } from './situation.ts'
import { deployment, holds, OUT, openDeployment, type Why } from './why.ts'
import { duration, link, listed, percent, plural, say, strong } from './words.ts'

export const PART_NAMES: Readonly<Record<TtftPart, string>> = {
  admission: 'Sluice’s own admission',
  queue: 'the queue',
  retries: 'attempts that failed before',
  routing: 'routing',
  connect: 'connecting',
  upstream: 'the provider',
  delivery: 'delivery',
}

const SLOW_COMMIT_MS = 100
/** An admission waits for a few commits: so many of its ms, or more, are to be one. */
const COMMIT_SHARE = 0.25
/** Of a minute: when the event loop is held for longer, everything that is measured is late. */
const HELD = 0.2

const NOTHING: Why = { why: [], actions: [] }

/** `ms`: how much was added to that part. */
export function causeOfDelay(now: Situation, part: TtftPart, ms: number): Why {
  if (part === 'queue') return whyInLine(now)
  if (part === 'retries') return whyRetried(now)
  const held = whyHeld(now, ms, now.goals.ttftMs)
  if (held !== null) return held
  switch (part) {
    case 'admission':
    case 'routing':
      return whyInSluice(now, ms)
    case 'connect':
    case 'upstream':
      return whyUpstream(now, part)
    case 'delivery':
      return { why: [say('Readers take their answers slowly.')], actions: [] }
  }
}

/** The event loop, if without what it was held for that would have been no trouble. Null: it is not to blame. */
export function whyHeld({ loop }: Situation, ms: number, goalMs: number): Why | null {
  if (loop === null || loop.share < HELD || ms * (1 - loop.share) > goalMs) return null
  return {
    why: [
      strong(loop.node),
      say(` has too little CPU: its event loop was held for ${percent(Math.min(1, loop.share))} of the last minute, `),
      say('so all that passes there is late.'),
    ],
    actions: [],
  }
}

/** The model that most of what waits is for; null: no single one. */
function modelInLine({ waiting: { models } }: Situation): string | null {
  const all = models.reduce((sum, { jobs }) => sum + jobs, 0)
  const [most] = models.toSorted((a, b) => b.jobs - a.jobs)
  return most !== undefined && holds(most.jobs / all) ? most.model : null
}

export function isAwaited(now: Situation, model: string): boolean {
  const one = modelInLine(now)
  return one === null ? now.waiting.models.some((each) => each.model === model) : model === one
}

function whyInSluice({ store }: Situation, ms: number): Why {
  if (store.error !== null) return { why: [say('The store is in trouble: '), strong(store.error.message)], actions: [] }
  if (store.commitP99Ms === null || store.commitP99Ms < Math.max(SLOW_COMMIT_MS, COMMIT_SHARE * ms)) return NOTHING
  return {
    why: [
      say('The '),
      strong('store is slow'),
      say(`: a commit takes ${duration(store.commitP99Ms)} (p99). Look at its disk.`),
    ],
    actions: [],
  }
}

/** Is that the deployment's own doing? A worker that died, or a deadline that passed, is not. */
export const isItsOwn = (code: string): boolean => code.startsWith('provider_') || code === 'answer_invalid'

function whyRetried({ retried, delays, deployments }: Situation): Why {
  const models = delayedModels(delays.retries)
  const of = new Set(deployments.filter(({ model }) => models.includes(model)).map((each) => each.deployment))
  const late = retried.filter(({ name }) => name !== null && of.has(name))
  const [most] = late
  const all = late.reduce((sum, { count }) => sum + count, 0)
  if (most === undefined || most.name === null || !holds(most.count / all)) return NOTHING
  if (!isItsOwn(most.code))
    return {
      why: [say(`${plural(most.count, 'attempt')} began again: `), say(`${most.code.replaceAll('_', ' ')}.`)],
      actions: [],
    }
  return {
    why: [
      deployment(most.name),
      say(` ${OUT[most.code] ?? 'fails'}: ${plural(most.count, 'attempt')} went elsewhere.`),
    ],
    actions: [openDeployment(most.name)],
  }
}

/** The deployment that most of what missed a goal is of; null: there is none. */
function mostOver(deployments: readonly DeploymentNow[], of: 'late' | 'slow'): DeploymentNow | null {
  const all = deployments.reduce((sum, { lately }) => sum + lately[of], 0)
  const [most] = deployments.toSorted((a, b) => b.lately[of] - a.lately[of])
  return all > 0 && holds(most.lately[of] / all) ? most : null
}

function whyUpstream({ deployments, goals }: Situation, part: 'connect' | 'upstream'): Why {
  const found = mostOver(deployments, 'late')
  const p95 = found?.lately.ttftP95Ms ?? 0
  if (found === null || p95 <= goals.ttftMs) return NOTHING
  const what = part === 'connect' ? 'takes long to connect to' : 'is slow to answer'
  return {
    why: [deployment(found.deployment), say(` ${what}: its first tokens come after ${duration(p95)} (p95).`)],
    actions: [openDeployment(found.deployment)],
  }
}

export function causeOfSlowness(now: Situation): Why {
  const held = whyHeld(now, now.now.tpotP50Ms ?? 0, now.goals.tpotMs)
  if (held !== null) return held
  const worst = mostOver(now.deployments, 'slow')
  return worst === null
    ? { why: whoIsSlow(now), actions: [link('Models', '/models')] }
    : { why: whyItIsSlow(now, worst), actions: [openDeployment(worst.deployment)] }
}

const slowOf = (deployments: readonly DeploymentNow[]): number =>
  deployments.reduce((sum, { lately }) => sum + lately.slow, 0)

function whyItIsSlow({ now: period, goals, deployments }: Situation, worst: DeploymentNow): Words[] {
  const { slow, tpotP50Ms, tpotP95Ms } = worst.lately
  const p50 = duration(tpotP50Ms ?? 0)
  const was = worst.tpotP50BeforeMs
  return [
    deployment(worst.deployment),
    say(
      (tpotP50Ms ?? 0) > goals.tpotMs
        ? ` makes a token in ${p50}`
        : ` gave ${slow} of the ${plural(slowOf(deployments), 'slow answer')}: ${duration(tpotP95Ms ?? 0)} a token ` +
            `(p95), half of its answers come at ${p50}`,
    ),
    say(was === null ? '.' : `; in the hour before it was ${duration(was)}.`),
    say(period.ttftP95Ms !== null && period.ttftP95Ms <= goals.ttftMs ? ' First tokens come in time.' : ''),
  ]
}

function whoIsSlow({ deployments, before }: Situation): Words[] {
  const over = deployments.filter(({ lately }) => lately.slow > 0).toSorted((a, b) => b.lately.slow - a.lately.slow)
  const told = over
    .slice(0, 4)
    .map((each, i) => [say(`${each.lately.slow}${i === 0 ? ' are' : ''} of `), deployment(each.deployment)])
  return [
    say('Cause not clear: '),
    ...(told.length === 0
      ? [say('no deployment is slow by itself')]
      : [say(`of ${plural(slowOf(deployments), 'slow answer')}, `), ...listed(told)]),
    say(before?.tpotP50Ms == null ? '.' : ` (p50 of the hour before: ${duration(before.tpotP50Ms)}).`),
  ]
}
