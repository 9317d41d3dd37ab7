/** Ends what runs, or waits, of a tenant, a key or a model. */
import { sleep } from '../../core/clock.ts'
import { bad } from '../../core/fields.ts'
import type { Job, JobId, JobState } from '../../core/job.ts'
import { isWithin } from '../../core/model-index.ts'
import type { ApiKey } from '../../core/ports/keys.ts'
import type { Disabled } from '../../core/ports/tenants.ts'
import type { GatewayDeps } from '../deps.ts'
import { outcomeOf } from './changes.ts'

/** What a switch is for: one of these. */
export interface Selected {
  readonly tenant?: string
  readonly key?: string
  readonly model?: string
}

const NAMES = ['tenant', 'key', 'model'] as const
const QUEUED: readonly JobState[] = ['queued', 'delayed', 'waiting']
const RUNNING: readonly JobState[] = ['leased']
const PAGE = 1_000
const AT_ONCE = 100
/** Whoever coordinates is told of a switch within this; jobs that it leased before are found by the next look. */
const SETTLE_MS = 200
/** Looks that find nothing new before all is considered stopped, and all looks. */
const QUIET_LOOKS = 2
const MOST_LOOKS = 20

/** Exactly one of the names. Throws invalid_request. */
export function selectedOf(body: Readonly<Record<string, unknown>>): Selected {
  const given = NAMES.filter((name) => body[name] !== undefined)
  const [name] = given
  const value = body[name]
  if (given.length !== 1) throw bad('tenant', 'Give exactly one of "tenant", "key", "model".')
  if (typeof value !== 'string' || value === '' || value.length > 256) throw bad(name, `"${name}" must be a name.`)
  if (name === 'model' && value.slice(0, -1).includes('*'))
    throw bad('model', '"model" must be a name, or a beginning of names that ends in "*".')
  return { [name]: value }
}

type StopDeps = Pick<GatewayDeps, 'jobs' | 'operations' | 'clock' | 'options'>

/** What runs; or what ran when the process died, and stands in line again. */
type What = { readonly running: boolean; readonly queued: boolean; readonly begun?: boolean }

/**
 * Resolves with how many were canceled; rejects where that can't be stored now, though it will be. That nothing of it
 * starts meanwhile is the caller's care.
 */
export async function stopJobs(
  deps: StopDeps,
  selected: Selected,
  { running, queued, begun = false }: What,
): Promise<{ readonly running: number; readonly queued: number }> {
  const { jobs, operations, clock, options } = deps
  const canceled = new Map<JobId, JobState>()
  let purged = 0
  /** Why an end can't be stored now: all are canceled first. */
  let unstored: unknown = null
  const later = (error: unknown): void => {
    unstored ??= error
  }

  async function look(states: readonly JobState[]): Promise<boolean> {
    const { tenant, key, model } = selected
    const isGroup = model?.endsWith('*') === true
    const filter = {
      ...(tenant !== undefined && { tenant }),
      ...(model !== undefined && !isGroup && { model }),
      states,
    }
    const isSelected = (job: Job): boolean =>
      (key === undefined || job.keyId === key) &&
      (model === undefined || isWithin(job.model, model)) &&
      (queued || job.state === 'leased' || job.attempts > 0)
    let isNew = false
    for (let before: JobId | undefined; ; ) {
      const page = await jobs.list({ ...filter, ...(before !== undefined && { before }), limit: PAGE })
      const own = page.filter((job) => isSelected(job) && !canceled.has(job.id))
      for (let at = 0; at < own.length; at += AT_ONCE)
        await Promise.all(
          own.slice(at, at + AT_ONCE).map(async ({ id, state }) => {
            canceled.set(id, state)
            await jobs.cancel(id).catch(later)
          }),
        )
      isNew ||= own.length > 0
      if (page.length < PAGE) return isNew
      before = page[page.length - 1].id
    }
  }

  const states = [...(running ? RUNNING : []), ...(queued || begun ? QUEUED : [])]
  if (states.length === 0) return { running: 0, queued: 0 }
  if (queued && selected.key === undefined && selected.model?.endsWith('*') !== true)
    await operations.purge(selected).then((n) => (purged = n), later)
  for (let looks = 0, quiet = 0; quiet < (options.isOneOfMany ? QUIET_LOOKS : 1) && looks < MOST_LOOKS; looks++) {
    if (looks > 0 && options.isOneOfMany) await sleep(clock, SETTLE_MS)
    quiet = (await look(states)) ? 0 : quiet + 1
  }
  if (unstored !== null) throw unstored
  const ran = [...canceled.values()].filter((state) => state === 'leased').length
  return { running: ran, queued: purged + canceled.size - ran }
}

/** Stops the jobs of a revoked key, while `held` lets none start. What is left of them goes on then. */
export async function stopRevoked(
  deps: StopDeps & Pick<GatewayDeps, 'keys'>,
  id: string,
  held: Disabled,
  begun = false,
): Promise<void> {
  const running = held.running === 'cut'
  try {
    await stopJobs(deps, { key: id }, { running, queued: held.queued === 'cancel', begun: running && begun })
  } finally {
    const release = (key: ApiKey): ApiKey =>
      key.disabled?.isStopping === true && key.disabled.atMs === held.atMs ? withSwitch(key, undefined) : key
    await outcomeOf(deps.keys.change(id, release))
  }
}

/** Revocations that a process did not live to end. */
export async function finishRevocations(deps: StopDeps & Pick<GatewayDeps, 'keys'>): Promise<void> {
  const all = [...deps.keys.all()].filter(({ replacedAtMs }) => replacedAtMs === undefined)
  for (const { id, disabled } of all) if (disabled?.isStopping === true) await stopRevoked(deps, id, disabled, true)
}

export const withSwitch = ({ disabled: _, ...key }: ApiKey, disabled: Disabled | undefined): ApiKey =>
  disabled === undefined ? key : { ...key, disabled }
