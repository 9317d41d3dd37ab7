/**
 * What a person should know at a glance: the state, its cause and the harm, by rules over what was measured. A cause is
 * named only where one part explains most of it; else the brief says that it is not clear, and shows the split. Pure.
 */
import { MANY, MIN_ANSWERS } from '../../core/goals.ts'
import type { Brief, Words } from '../../core/live.ts'
import type { TtftPart, TtftParts } from '../../core/measure.ts'
import { causeOfDelay, causeOfSlowness, isAwaited, isItsOwn, PART_NAMES, whyHeld } from './causes.ts'
import { tooFew } from './few.ts'
import { areWorkersFull } from './line-causes.ts'
import { silent } from './silent.ts'
import type { Counted, Situation, Trouble, Waits } from './situation.ts'
import { holds, outFor } from './why.ts'
import { duration, link, listed, percent, plural, say, strong } from './words.ts'

/** What a cause must explain. */
export const EXPLAINS = 0.6
const STUCK_MS = 10_000

/** The worst first; never empty. */
export function briefsOf(now: Situation): readonly Brief[] {
  const troubles = [closed(now) ?? stuck(now), silent(now), failing(now), late(now), slow(now), refusing(now)].filter(
    (brief) => brief !== null,
  )
  return troubles.length > 0 ? troubles : [missed(now) ?? calm(now)]
}

const sinceOf = ({ since }: Situation, trouble: Trouble): number | null => since[trouble] ?? null

/** " For 8 minutes now." */
const forLong = ({ nowMs, since }: Situation, trouble: Trouble): string => {
  const from = since[trouble]
  return from === undefined || nowMs - from < 30_000 ? '' : ` For ${duration(nowMs - from)} now.`
}

// ---------------------------------------------------------------- states

function calm(now: Situation): Brief {
  const { isNew, now: period, waiting, running, goals } = now
  const base = { harm: [], actions: [], sinceAtMs: null, cause: [] }
  if (isNew)
    return {
      ...base,
      kind: 'new',
      state: [say('Nothing was submitted yet.')],
      actions: [link('Try it', '/playground')],
    }
  const isIdle = period.firstTokens + period.done + period.failed + waiting.jobs === 0 && running === 0
  if (isIdle) return { ...base, kind: 'idle', state: [say('All is quiet: nothing runs, and nothing waits.')] }
  const few = tooFew(period, goals)
  if (few !== null) return { ...base, kind: 'idle', state: [say(`Too little happened to judge: ${few}.`)] }
  const ttft = period.ttftP95Ms
  const first =
    ttft === null ? '' : ` First tokens come within ${duration(ttft)} (p95, goal ${duration(goals.ttftMs)}).`
  const inFlight = running === null ? '' : `: ${plural(running, 'job')} in flight`
  return { ...base, kind: 'well', state: [say(`All is well${inFlight}.${first}`)] }
}

/** No single trouble stands out, but too many answers miss a goal. */
function missed({ now: { judged, good, failed, expired }, goals }: Situation): Brief | null {
  if (judged < MIN_ANSWERS || good / judged >= goals.good) return null
  const bad = judged - good
  return {
    kind: 'missed',
    state: [
      say(
        `${percent(bad / judged)} of answers missed a goal, where ${percent(1 - goals.good)} may: ` +
          `${bad} of ${judged}.`,
      ),
    ],
    cause: [
      say(failed + expired === 0 ? '' : `${failed + expired} of them failed. `),
      say(
        `A good answer begins within ${duration(goals.ttftMs)} and takes ${duration(goals.tpotMs)} a token, or less.`,
      ),
    ],
    harm: [],
    actions: [link('Late jobs', '/jobs?kind=late')],
    sinceAtMs: null,
  }
}

/** Nothing is accepted: nobody may have been refused yet. */
function closed(now: Situation): Brief | null {
  const { store, running } = now
  if (store.error === null) return null
  const { sinceAtMs } = store
  const forMs = sinceAtMs === null ? 0 : now.nowMs - sinceAtMs
  const long = forMs < 30_000 ? '' : ` For ${duration(forMs)} now.`
  return {
    kind: 'stuck',
    state: [say(`The store takes nothing: new work is refused.${long}`)],
    cause: [strong(store.error.message)],
    harm:
      running === null
        ? [strong('Nothing that was accepted is lost.')]
        : [strong('Nothing that was accepted is lost:'), say(` ${plural(running, 'job')} in flight.`)],
    actions: [link('Changes', '/changes')],
    sinceAtMs,
  }
}

function stuck(now: Situation): Brief | null {
  const { stuckMs, stuckModels, waiting, gone, deployments } = now
  const all = stuckMs >= STUCK_MS && waiting.jobs > 0
  const [one] = stuckModels
  if (!all && (one === undefined || one.forMs < STUCK_MS)) return null
  const state = all
    ? [say(`Nothing runs, though ${plural(waiting.jobs, 'job')} ${verb(waiting.jobs)}.${forLong(now, 'stuck')}`)]
    : [
        say('Nothing of '),
        strong(one.model),
        say(` runs, though ${plural(one.jobs, 'job')} ${verb(one.jobs)}, for ${duration(one.forMs)} now.`),
      ]
  const holdsIt = (share: number | null): boolean => share !== null && holds(share)
  const paused = now.paused.filter(({ share, of }) => holdsIt(all ? share : (of.get(one.model) ?? 0)))
  // Which lane a job is of is not known here
  const maybe = now.paused.filter(({ share, model }) => share === null && (all || (model ?? one.model) === one.model))
  const { limit } = all ? waiting : (waiting.models.find(({ model }) => model === one.model) ?? NO_WAITS)
  const asked = deployments.filter(({ model }) => (all ? isAwaited(now, model) : model === one.model))
  const inUse = asked.filter(({ state }) => state === 'up' || state === 'full' || state === 'failing')
  const out = asked.filter(({ state }) => state === 'cooling' || state === 'draining')
  let cause: readonly Words[]
  let actions: readonly Words[] = [link('Jobs in line', '/jobs?state=queued')]
  if (paused.length > 0) {
    cause = [
      strong(`${pausedText(paused)} is paused`, '/changes'),
      say(' by an operator; jobs start when it is resumed.'),
    ]
    actions = [link('Changes', '/changes'), ...actions]
  } else if (asked.length > 0 && inUse.length === 0) {
    cause = [
      ...listed(out.slice(0, 3).map(({ deployment }) => [strong(deployment, modelPath(deployment))])),
      say(`${out.length === 1 ? ' is' : ' are'} out, and no other deployment is left.`),
    ]
    actions = [
      ...out.slice(0, 1).map(({ deployment }) => link(`Open ${deployment}`, modelPath(deployment))),
      ...actions,
    ]
  } else if (gone.length > 0 && areWorkersFull(now))
    cause = [strong(gone.join(', ')), say(gone.length === 1 ? ' is gone.' : ' are gone.')]
  else if (limit !== null && limit.share >= EXPLAINS)
    cause = [
      strong(`A limit of the ${limit.level.replaceAll('_', ' ')}`, '/tenants'),
      say(` has no room: ${unitText(limit.unit)}.`),
    ]
  else if (maybe.length > 0) {
    cause = [
      say('Perhaps what an operator has paused: '),
      strong(pausedText(maybe), '/changes'),
      say('; which jobs are of that lane is not known here.'),
    ]
    actions = [link('Changes', '/changes'), ...actions]
  } else
    cause = [
      say(`Cause not clear: nothing is paused, ${plural(inUse.length, 'deployment')} can be called, no limit binds.`),
    ]
  const sinceAtMs = all ? sinceOf(now, 'stuck') : now.nowMs - one.forMs
  return { kind: 'stuck', state, cause, harm: noLoss(now), actions, sinceAtMs }
}

function failing(now: Situation): Brief | null {
  const { now: period } = now
  // What is not a deployment's own doing names none
  const failures = now.failures.map((each) => (isItsOwn(each.code) ? each : { ...each, name: null }))
  const failed = period.failed + period.expired
  const ended = failed + period.done
  if (failed < MIN_ANSWERS || failed / ended < MANY) return null
  const state = [say(`${percent(failed / ended)} of jobs fail: ${failed} of ${ended}.${forLong(now, 'failing')}`)]
  const found = mostOf(failures, ({ name, code }) => `${name ?? ''}\n${code}`) ?? mostOf(failures, ({ name }) => name)
  const byCode = mostOf(failures, ({ code }) => code)
  let cause: readonly Words[]
  let actions: readonly Words[] = [link('Failed jobs', '/jobs?state=failed')]
  if (found !== null && found.name !== null) {
    cause = [
      say(`${found.count} of them `),
      strong(`at ${found.name}`, modelPath(found.name)),
      say(`: ${codeText(found.code)}.${outText(now, found.name)}`),
    ]
    actions = [link(`Open ${found.name}`, modelPath(found.name)), ...actions]
  } else if (byCode !== null) cause = [say(`${byCode.count} of them: `), strong(codeText(byCode.code)), say('.')]
  else cause = [say('Cause not clear: '), ...split(failures), say('.')]
  const harm = [
    say(`${plural(failed, 'answer')} ${failed === 1 ? 'was' : 'were'} not given; whoever asked was told. `),
    ...noLoss(now),
  ]
  return { kind: 'failing', state, cause, harm, actions, sinceAtMs: sinceOf(now, 'failing') }
}

function late(now: Situation): Brief | null {
  const { now: period, goals } = now
  const p95 = period.ttftP95Ms
  if (period.firstTokens < MIN_ANSWERS || p95 === null || period.parts === null || p95 <= goals.ttftMs) return null
  const state = [
    say(`First tokens are late: p95 is ${duration(p95)}, the goal ${duration(goals.ttftMs)}.${forLong(now, 'late')}`),
  ]
  const { total, added } = addedOf(now, period.parts)
  const [[part, most]] = added
  if (most / total >= EXPLAINS) {
    const { why, actions } = causeOfDelay(now, part, most)
    const cause = [
      say(`Of the ${duration(total)} added to first tokens on average, `),
      strong(`${duration(most)} is ${PART_NAMES[part]}`),
      say('. '),
      ...why,
    ]
    const all = [...actions, link('Late jobs', '/jobs?kind=late')]
    return { kind: 'late', state, cause, harm: noLoss(now), actions: all.slice(0, 2), sinceAtMs: sinceOf(now, 'late') }
  }
  const told = added.filter(([, ms]) => ms > 0).slice(0, 4)
  const held = whyHeld(now, total, goals.ttftMs)
  const cause = held?.why ?? [
    say(`Cause not clear: of the ${duration(total)} added to first tokens on average, `),
    ...listed(told.map(([name, ms]) => [strong(duration(ms)), say(` is ${PART_NAMES[name]}`)])),
    say('.'),
  ]
  const actions = [link('Late jobs', '/jobs?kind=late')]
  return { kind: 'late', state, cause, harm: noLoss(now), actions, sinceAtMs: sinceOf(now, 'late') }
}

function slow(now: Situation): Brief | null {
  const { now: period, goals } = now
  const p95 = period.tpotP95Ms
  if (period.tpots < MIN_ANSWERS || p95 === null || p95 <= goals.tpotMs) return null
  const state = [
    say(
      `Tokens come slowly: p95 is ${duration(p95)} a token, the goal ${duration(goals.tpotMs)}.${forLong(now, 'slow')}`,
    ),
  ]
  const { why: cause, actions } = causeOfSlowness(now)
  return { kind: 'slow', state, cause, harm: noLoss(now), actions, sinceAtMs: sinceOf(now, 'slow') }
}

function refusing(now: Situation): Brief | null {
  const { now: period } = now
  // What Sluice itself can't take is no tenant's doing
  const refusals = now.refusals.map((each) => (OWN.test(each.code) ? { ...each, name: null } : each))
  const asked = period.refused + period.done + period.failed + period.expired
  if (period.refused < MIN_ANSWERS || period.refused / asked < MANY) return null
  const state = [say(`${plural(period.refused, 'request')} refused, of ${asked}.${forLong(now, 'refusing')}`)]
  const found = mostOf(refusals, ({ name, code }) => `${name ?? ''}\n${code}`)
  const byCode = mostOf(refusals, ({ code }) => code)
  let cause: readonly Words[]
  let actions: readonly Words[] = [link('Tenants', '/tenants')]
  if (found?.name != null) {
    cause = [
      say(`${found.count} of them of `),
      strong(found.name, tenantPath(found.name)),
      say(`: ${codeText(found.code)}.`),
    ]
    actions = [link(`Open ${found.name}`, tenantPath(found.name))]
  } else if (byCode !== null) {
    cause = [say(`${byCode.count} of them: `), strong(codeText(byCode.code)), say('.')]
    if (OWN.test(byCode.code)) actions = []
  } else cause = [say('Cause not clear: '), ...split(refusals), say('.')]
  const harm = [say('Whoever was refused was told why, and when to come back where that helps.')]
  return { kind: 'refusing', state, cause, harm, actions, sinceAtMs: sinceOf(now, 'refusing') }
}

// ---------------------------------------------------------------- what they have in common

/** What was added to each part: against the hour before where that was well, else all of it. The largest first. */
export function addedOf({ before, goals }: Pick<Situation, 'before' | 'goals'>, parts: TtftParts) {
  const isMeasure =
    before?.parts != null && before.firstTokens >= MIN_ANSWERS && (before.ttftP95Ms ?? 0) <= goals.ttftMs
  const was = isMeasure ? before.parts : null
  const names = Object.keys(PART_NAMES) as TtftPart[]
  const added = names
    .map((name): [TtftPart, number] => [name, Math.max(0, parts[name] - (was?.[name] ?? 0))])
    .sort(([, a], [, b]) => b - a)
  return {
    total: Math.max(
      Number.MIN_VALUE,
      added.reduce((sum, [, ms]) => sum + ms, 0),
    ),
    added,
  }
}

/** What explains most of them; null: nothing does. */
function mostOf(counted: readonly Counted[], by: (each: Counted) => string | null): Counted | null {
  const all = counted.reduce((sum, { count }) => sum + count, 0)
  const groups = new Map<string | null, Counted>()
  for (const each of counted) {
    const before = groups.get(by(each))
    const count = each.count + (before?.count ?? 0)
    // Named by its most frequent one: they come in that order
    groups.set(by(each), { ...(before ?? each), count })
  }
  const [most] = [...groups.values()].sort((a, b) => b.count - a.count)
  return most !== undefined && most.count / all >= EXPLAINS ? most : null
}

const split = (counted: readonly Counted[]): Words[] =>
  counted.length === 0
    ? [say('what failed is not known')]
    : listed(
        counted
          .slice(0, 4)
          .map(({ count, code, name }) => [
            strong(String(count)),
            say(` ${codeText(code)}${name === null ? '' : ` (${name})`}`),
          ]),
      )

function noLoss({ waiting, now }: Situation): Words[] {
  if (waiting.jobs === 0)
    return now.refused === 0 ? [strong('Nothing is lost:'), say(' nothing waits, and no job was refused.')] : []
  const { most, jobs } = waiting
  // Who waits is counted at another moment than how many: more than all of them is not told
  const whose = most === null || most.jobs < 2 || most.jobs >= jobs ? '' : `, ${most.jobs} of them from ${most.tenant}`
  const all = most !== null && most.jobs === jobs && jobs > 1 ? `, all from ${most.tenant}` : ''
  const refused = now.refused === 0 ? '; none was refused.' : `; ${plural(now.refused, 'request')} refused.`
  return [strong('Nothing is lost:'), say(` ${plural(jobs, 'job')} ${verb(jobs)} in line${whose}${all}${refused}`)]
}

const NO_WAITS: Waits = { limit: null, most: null }

const verb = (n: number): string => (n === 1 ? 'waits' : 'wait')

function pausedText(paused: Situation['paused']): string {
  const [{ tenant, model, lane }] = paused
  const named = [
    tenant === undefined ? '' : `tenant ${tenant}`,
    model === undefined ? '' : `model ${model}`,
    lane === undefined ? '' : `lane ${lane}`,
  ].filter((each) => each !== '')
  return `${named.join(', ')}${paused.length > 1 ? ` and ${paused.length - 1} more` : ''}`
}

function outText({ deployments }: Situation, name: string): string {
  const found = deployments.find(({ deployment }) => deployment === name)
  return found === undefined ? '' : outFor(found, ' It has been out for ', '.')
}

export const modelPath = (deployment: string): string => `/models/${encodeURIComponent(deployment)}`
export const tenantPath = (tenant: string): string => `/tenants/${encodeURIComponent(tenant)}`

const UNITS: Readonly<Record<string, string>> = {
  nano_dollars: 'its budget is spent',
  spend_velocity: 'money is spent too fast',
  running: 'as many jobs run as may',
  requests: 'its requests are used up',
}
export const unitText = (unit: string): string => UNITS[unit] ?? `its ${unit.replaceAll('_', ' ')} are used up`

/** Refusals by Sluice itself, whoever asks. */
const OWN = /^(?:storage_.*|starting|draining|overloaded)$/

/** "provider_rate_limited" as people say it. */
const CODES: Readonly<Record<string, string>> = {
  provider_rate_limited: 'the provider answers 429',
  provider_error: 'the provider fails',
  provider_unreachable: 'it can’t be reached',
  provider_cut: 'it ends answers before they are complete',
  provider_garbage: 'it sends what is no answer',
  provider_timeout: 'it does not answer in time',
  provider_auth: 'it rejects our key',
  provider_rejected: 'it refuses requests',
  model_not_found: 'no such model is configured',
  model_not_allowed: 'the key may not use the model',
  invalid_request: 'what was sent is no valid request',
  queue_full: 'the queue is full',
  rate_limit_exceeded: 'a limit has no room',
  insufficient_quota: 'a budget is spent',
  deadline_exceeded: 'their deadline passed in line',
  storage_full: 'the disk is full',
  storage_locked: 'another program holds a lock on the database',
  storage_failed: 'the store has failed',
  storage_unavailable: 'the store can’t be reached',
  draining: 'the server is shutting down',
  starting: 'the server is starting',
  overloaded: 'the server is overloaded',
}
export const codeText = (code: string): string => CODES[code] ?? code.replaceAll('_', ' ')
