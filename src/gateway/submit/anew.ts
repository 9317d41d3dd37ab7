/** What a job that is submitted anew comes after. */
import { SluiceError } from '../../core/errors.ts'
import { isTerminal, type Job, type JobDraft, type JobId, saidTokens } from '../../core/job.ts'
import { editObject, isRecord, type JsonRecord } from '../../core/json.ts'
import type { GatewayDeps } from '../deps.ts'
import { isOutput } from './related.ts'

type Deps = Pick<GatewayDeps, 'jobs'>

/** What it comes after now, and is sent of it. Empty: it comes after none. */
export type Anew = Partial<Pick<JobDraft, 'after' | 'promptTokens' | 'outputs' | 'body'>>

/**
 * Of a job that failed: where one that it comes after has ended otherwise than well, that one's redrive takes its
 * place. Rejects with dependency_failed where there is none.
 */
export async function comingAnew({ jobs }: Deps, job: Job, request: Uint8Array | null): Promise<Anew> {
  const { after, outputs } = job
  if (after === undefined) return {}
  const instead = new Map<JobId, JobId>()
  const left = after.map(() => 0)
  let { promptTokens } = job
  for (const [i, id] of after.entries()) {
    if (after.indexOf(id) < i) continue
    const found = await redriveOf(jobs, job, id)
    if (found === null) continue
    if (found.id !== id) instead.set(id, found.id)
    const times = outputs?.[i] ?? 0
    if (found.state === 'done' && found.usage !== undefined) promptTokens += times * saidTokens(found.usage)
    else left[i] = times
  }
  const isRenamed = instead.size > 0 && request !== null
  return {
    promptTokens,
    ...(outputs !== undefined && { outputs: left }),
    ...(instead.size > 0 && { after: after.map((id) => instead.get(id) ?? id) }),
    ...(isRenamed && { body: renamed(request, instead) }),
  }
}

/** Of its run, or of its tenant: the newest are looked at. */
const MOST_LATER = 1_000

/** That job, or what it was redriven as, and that, until one is done or may yet be; null: it is not kept. */
async function redriveOf(jobs: Deps['jobs'], { id: asked, tenant, error }: Job, before: JobId): Promise<Job | null> {
  const job = await jobs.get(before)
  const isOut = ({ state }: Job): boolean => isTerminal(state) && state !== 'done'
  if (job === null ? error?.message.includes(before) !== true : !isOut(job)) return job
  const { run } = job ?? {}
  const later = await jobs.list({ tenant, ...(run !== undefined && { run }), limit: MOST_LATER })
  let current = before
  for (let tries = 0; tries < MOST_LATER; tries++) {
    const next = later.filter(({ redriveOf: of, id }) => of === current && id !== asked)
    const found = next.find((one) => !isOut(one))
    if (found !== undefined) return found
    if (next.length === 0) break
    current = next[0]!.id
  }
  throw new SluiceError('dependency_failed', {
    message: `${current}, which this job comes after, did not end well: redrive that one first, then this one.`,
  })
}

function renamed(request: Uint8Array, instead: ReadonlyMap<JobId, JobId>): Uint8Array {
  const { messages } = JSON.parse(Buffer.from(request).toString('utf8')) as JsonRecord
  if (!Array.isArray(messages)) return request
  const named = messages.map((message: unknown) => {
    const content: unknown = isRecord(message) ? message['content'] : null
    if (!isRecord(message) || !Array.isArray(content)) return message
    const parts = content.map((part: unknown) =>
      isOutput(part) ? { ...part, job: instead.get(part['job'] as JobId) ?? part['job'] } : part,
    )
    return { ...message, content: parts }
  })
  return editObject(request, { messages: JSON.stringify(named) })
}
