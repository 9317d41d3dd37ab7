/** Why a part of the time to first token has grown. */
import type { Words } from '../../core/live.ts'
import type { TtftParts } from '../../core/measure.ts'
import type { DeploymentNow, Situation } from './situation.ts'
import { duration, link, listed, plural, say, strong } from './words.ts'

export const PART_NAMES: Readonly<Record<keyof TtftParts, string>> = {
  admission: 'Sluice’s own admission',
  queue: 'the queue',
  retries: 'attempts that failed before',
  routing: 'routing',
  connect: 'connecting',
  upstream: 'the provider',
  delivery: 'delivery',
}

/** Of what waits: a share that stands for all of it. */
export const MOST = 0.6
/** A tenant that submits so many times as much as in the hour before is a burst. */
const BURST = 3
const SLOW_COMMIT_MS = 100

interface Why {
  readonly why: readonly Words[]
  readonly actions: readonly Words[]
}

const NOTHING: Why = { why: [], actions: [] }

export const openDeployment = (name: string): Words => link(`Open ${name}`, `/models/${encodeURIComponent(name)}`)
const openTenant = (name: string): Words => link(`Open ${name}`, `/tenants/${encodeURIComponent(name)}`)
export const deployment = (name: string): Words => strong(name, `/models/${encodeURIComponent(name)}`)

export function causeOfDelay(now: Situation, part: keyof TtftParts): Why {
  switch (part) {
    case 'queue':
      return whyInLine(now)
    case 'admission':
    case 'routing':
      return whyInSluice(now)
    case 'retries':
      return whyRetried(now)
    case 'connect':
    case 'upstream':
      return whyUpstream(now, part)
    case 'delivery':
      return { why: [say('Readers take their answers slowly, or the event loop is busy.')], actions: [] }
  }
}

/** Of what waits: a share that stands for all of it. */
export const holds = (share: number): boolean => share >= MOST

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

function whyInLine(now: Situation): Why {
  const { waiting, paused, gone, submits } = now
  // One of a model that nobody asks for delays nothing
  const isAsked = ({ model, attempts }: DeploymentNow): boolean =>
    waiting.jobs > 0 ? isAwaited(now, model) : attempts > 0
  const asked = now.deployments.filter(isAsked)
  // Nor does one whose model has another with room
  const out = asked.filter(
    ({ outForMs, model }) => outForMs !== null && !asked.some((each) => each.model === model && each.state === 'up'),
  )
  if (out.length > 0) return whyOut(now, out)
  if (gone.length > 0)
    return {
      why: [strong(gone.join(', ')), say(` ${gone.length === 1 ? 'is' : 'are'} gone, with the slots of its workers.`)],
      actions: [],
    }
  if (paused.some(({ share }) => share !== null && holds(share)))
    return { why: [say('An operator has paused a part of the queue.')], actions: [link('Changes', '/changes')] }
  const { limit, most } = waiting
  if (limit !== null && holds(limit.share)) {
    const level = limit.level.replaceAll('_', ' ')
    const whose = most !== null && level.startsWith('tenant') ? most.tenant : null
    return {
      why: [
        say('What waits, waits for a limit of '),
        whose === null ? strong(`the ${level}`) : strong(`tenant ${whose}`, `/tenants/${encodeURIComponent(whose)}`),
        say(`: ${limit.unit === 'running' ? 'jobs at once' : limit.unit.replaceAll('_', ' ')}.`),
      ],
      actions: whose === null ? [link('Models', '/models')] : [openTenant(whose)],
    }
  }
  const burst = submits.find(({ now, before }) => now >= 5 && now >= BURST * Math.max(before, 1))
  if (burst !== undefined && most !== null && most.tenant === burst.tenant && holds(most.jobs / waiting.jobs))
    return {
      why: [
        strong(burst.tenant, `/tenants/${encodeURIComponent(burst.tenant)}`),
        say(
          ` submits ${Math.round(burst.now)} jobs a minute, in the hour before ${Math.round(burst.before)}; ` +
            `${most.jobs} of the ${waiting.jobs} that wait are its own.`,
        ),
      ],
      actions: [openTenant(burst.tenant)],
    }
  return whyFull(now, asked)
}

function whyFull({ waiting: { jobs } }: Situation, asked: readonly DeploymentNow[]): Why {
  const full = asked.filter(({ state }) => state === 'full')
  const [first] = full
  if (first === undefined) return NOTHING
  const wait = jobs > 0 ? `; ${plural(jobs, 'job')} ${jobs === 1 ? 'waits' : 'wait'}` : ''
  const slots = full.reduce((sum, { concurrent }) => sum + (concurrent ?? 0), 0)
  return {
    why:
      full.length === 1 && slots === 1
        ? [deployment(first.deployment), say(` takes 1 call at once, and it is taken${wait}.`)]
        : [
            say(`All ${plural(slots, 'slot')} of `),
            ...listed(full.slice(0, 3).map((each) => [deployment(each.deployment)])),
            say(` are taken${wait}.`),
          ],
    actions: [openDeployment(first.deployment)],
  }
}

/** "vllm-b refuses …, so 24 of 48 slots of chat are left, all taken." */
function whyOut({ deployments }: Situation, out: readonly DeploymentNow[]): Why {
  const [worst] = out.toSorted((a, b) => (b.outForMs ?? 0) - (a.outForMs ?? 0))
  const ofModel = deployments.filter(({ model }) => model === worst.model)
  const left = ofModel.filter(({ outForMs }) => outForMs === null)
  const slots = (of: readonly DeploymentNow[]): number | null =>
    of.some(({ concurrent }) => concurrent === null)
      ? null
      : of.reduce((sum, { concurrent }) => sum + (concurrent ?? 0), 0)
  const all = slots(ofModel)
  const isTaken = left.length > 0 && left.every(({ state }) => state === 'full')
  const error = worst.lastError === null ? 'is out' : (OUT[worst.lastError] ?? 'fails')
  const rest =
    left.length === 0
      ? [say('; '), strong(worst.model), say(' has no other deployment.')]
      : all === null
        ? [say('.')]
        : [
            say(`, so ${slots(left)} of ${plural(all, 'slot')} of `),
            strong(worst.model),
            say(` are left${isTaken ? ', all taken' : ''}.`),
          ]
  return {
    why: [deployment(worst.deployment), say(` ${error}${outFor(worst, ', for ', ' now')}`), ...rest],
    actions: [openDeployment(worst.deployment)],
  }
}

/** Nothing where it only just is, or nobody knows since when. */
export const outFor = ({ outForMs }: DeploymentNow, before: string, after: string): string =>
  outForMs === null || outForMs < 1_000 ? '' : `${before}${duration(outForMs)}${after}`

const OUT: Readonly<Record<string, string>> = {
  provider_rate_limited: 'answers 429',
  provider_unreachable: 'can’t be reached',
  provider_timeout: 'does not answer in time',
  provider_auth: 'rejects our key',
  provider_error: 'fails',
}

function whyInSluice({ store }: Situation): Why {
  if (store.error !== null) return { why: [say('The store is in trouble: '), strong(store.error.message)], actions: [] }
  if (store.commitP99Ms === null || store.commitP99Ms < SLOW_COMMIT_MS) return NOTHING
  return {
    why: [
      say('The '),
      strong('store is slow'),
      say(`: a commit takes ${duration(store.commitP99Ms)} (p99). Look at its disk.`),
    ],
    actions: [],
  }
}

function whyRetried({ retried }: Situation): Why {
  const [most] = retried
  const all = retried.reduce((sum, { count }) => sum + count, 0)
  if (most === undefined || most.name === null || !holds(most.count / all)) return NOTHING
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
