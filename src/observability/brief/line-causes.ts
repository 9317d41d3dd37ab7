/**
 * Why first tokens waited in line. Only what holds up the very models whose first tokens waited is a cause: another
 * model's trouble, slots that are free, and an hour of which nothing is known explain nothing.
 */
import type { Delays, DeploymentNow, Situation } from './situation.ts'
import { deployment, holds, OUT, openDeployment, outFor, type Why } from './why.ts'
import { duration, link, listed, plural, say, strong } from './words.ts'

/** A tenant that submits so many times as much as before is a burst. */
const BURST = 3
/** A deployment that takes so many times as long for a token as before holds its slots too long. */
const SLOWER = 2
/** Of all that was waited: models of less have no part in it. */
const SMALL = 0.1
/** Of the workers' slots: when so many are taken, they are what is missing. */
const FULL = 0.95

/** The models that most of a delay was of: one, where it stands for all; the most first. */
export function delayedModels(delays: Delays): readonly string[] {
  const all = delays.reduce((sum, { ms }) => sum + ms, 0)
  const [most] = delays
  if (most !== undefined && holds(most.ms / all)) return [most.model]
  return delays.filter(({ ms }) => ms >= SMALL * all).map(({ model }) => model)
}

/** Are the slots of all workers taken, so that a further worker would help? */
export const areWorkersFull = ({ slots, running }: Situation): boolean =>
  slots !== null && running !== null && running >= FULL * slots

export function whyInLine(now: Situation): Why {
  const waited = delayedModels(now.delays.queue)
  const models =
    waited.length > 0 ? waited : delayedModels(now.waiting.models.map((each) => ({ ...each, ms: each.jobs })))
  const late = now.waiting.models.filter(({ model }) => models.includes(model))
  const jobs = late.reduce((sum, each) => sum + each.jobs, 0)
  const asked = now.deployments.filter(({ model }) => models.includes(model))
  // One whose model has another with room delays nothing
  const out = asked.filter(
    ({ outForMs, model }) => outForMs !== null && !asked.some((each) => each.model === model && each.state === 'up'),
  )
  if (out.length > 0) return whyOut(now, out)
  if (waited.length > 0 && jobs === 0)
    return {
      why: [
        say('It was that of '),
        ...listed(models.slice(0, 3).map((model) => [strong(model)])),
        say('; nothing of it waits any more.'),
      ],
      actions: [],
    }
  if (areWorkersFull(now)) return whyNoWorker(now)
  return (late.length === 1 ? (whyLimited(late[0]) ?? whyBurst(now, late[0], asked)) : null) ?? whyFull(asked, jobs)
}

function whyNoWorker({ gone, slots }: Situation): Why {
  if (gone.length > 0)
    return {
      why: [strong(gone.join(', ')), say(` ${gone.length === 1 ? 'is' : 'are'} gone, with the slots of its workers.`)],
      actions: [],
    }
  return { why: [say(`All ${plural(slots ?? 0, 'slot')} of the workers are taken.`)], actions: [] }
}

type Late = Situation['waiting']['models'][number]

function whyLimited({ limit, most }: Late): Why | null {
  if (limit === null || !holds(limit.share)) return null
  const level = limit.level.replaceAll('_', ' ')
  const whose = most !== null && level.startsWith('tenant') ? most.tenant : null
  return {
    why: [
      say('What waits, waits for a limit of '),
      whose === null ? strong(`the ${level}`) : strong(`tenant ${whose}`, `/tenants/${encodeURIComponent(whose)}`),
      say(`: ${limit.unit === 'running' ? 'jobs at once' : limit.unit.replaceAll('_', ' ')}.`),
    ],
    actions: [whose === null ? link('Models', '/models') : openTenant(whose)],
  }
}

function whyBurst({ submits, beforeMinutes }: Situation, late: Late, asked: readonly DeploymentNow[]): Why | null {
  const { model, most, jobs } = late
  const burst = submits.find(
    ({ model: of, now, before }) => of === model && before !== null && now >= 5 && now >= BURST * Math.max(before, 1),
  )
  if (burst === undefined || most?.tenant !== burst.tenant || !holds(most.jobs / Math.max(jobs, most.jobs))) return null
  if (asked.some(isSlower)) return null
  const own = Math.min(most.jobs, jobs)
  const over = beforeMinutes >= 60 ? 'hour' : `${beforeMinutes} minutes`
  return {
    why: [
      strong(burst.tenant, `/tenants/${encodeURIComponent(burst.tenant)}`),
      say(
        ` submits ${Math.round(burst.now)} jobs a minute, ` +
          `in the ${over} before ${Math.round(burst.before ?? 0)}; ` +
          `${own === jobs ? `all ${jobs}` : `${own} of the ${jobs}`} that wait are its own.`,
      ),
    ],
    actions: [openTenant(burst.tenant)],
  }
}

const openTenant = (name: string) => link(`Open ${name}`, `/tenants/${encodeURIComponent(name)}`)

const isSlower = ({ lately, tpotP50BeforeMs: before }: DeploymentNow): boolean =>
  lately.tpotP50Ms !== null && before !== null && lately.tpotP50Ms >= SLOWER * before

function whyFull(asked: readonly DeploymentNow[], jobs: number): Why {
  const full = asked.filter(({ state }) => state === 'full')
  const [first] = full
  if (first === undefined) return { why: [say('What it waits for is not clear.')], actions: [] }
  const wait = jobs > 0 ? `; ${plural(jobs, 'job')} ${jobs === 1 ? 'waits' : 'wait'}` : ''
  const slots = full.reduce((sum, { concurrent }) => sum + (concurrent ?? 0), 0)
  const slower = full.find(isSlower)
  const pace =
    slower === undefined
      ? []
      : [
          say(' '),
          deployment(slower.deployment),
          say(` makes a token in ${duration(slower.lately.tpotP50Ms ?? 0)}, in the hour before it was `),
          say(`${duration(slower.tpotP50BeforeMs ?? 0)}.`),
        ]
  return {
    why: [
      ...(full.length === 1 && slots === 1
        ? [deployment(first.deployment), say(` takes 1 call at once, and it is taken${wait}.`)]
        : [
            say(`All ${plural(slots, 'slot')} of `),
            ...listed(full.slice(0, 3).map((each) => [deployment(each.deployment)])),
            say(` are taken${wait}.`),
          ]),
      ...pace,
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
