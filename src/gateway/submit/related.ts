/** Jobs that a new one stems from, or comes after: looked at before it is submitted. */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import { isTerminal, type Job, type JobDraft, type JobId, saidTokens } from '../../core/job.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { JOB_OUTPUT } from '../../core/ports/work.ts'
import { hasScope } from '../caller/access.ts'
import { type Caller, canSee } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'

type Deps = Pick<GatewayDeps, 'jobs' | 'keys'>
type Related = Pick<JobDraft, 'parent' | 'after' | 'run' | 'user' | 'promptTokens'>
type Place = Pick<JobDraft, 'run' | 'depth' | 'promptTokens' | 'outputs'>

export const isRelated = ({ parent, after }: Pick<JobDraft, 'parent' | 'after'>): boolean =>
  parent !== undefined || after !== undefined

/**
 * The run that it belongs to, its own or its parent's, and its depth; and what it weighs with what is put into its
 * prompt, as far as that is answered. Rejects with job_not_found for what its caller
 * does not see, and with dependency_failed where it could never run.
 */
export async function placeOf(deps: Deps, caller: Caller, job: Related, value: JsonRecord): Promise<Place> {
  const { parent, after = [], run, user } = job
  const named = after.length === 0 ? NONE : outputsIn(value)
  const outputs = after.map(() => 0)
  let { promptTokens } = job
  for (const [i, id] of after.entries()) {
    if (after.indexOf(id) < i) continue
    const { state, kind, usage } = await seen(deps, caller, user, id, 'after')
    const times = named.filter((one) => one.job === id).length
    if (state === 'done' && usage !== undefined) promptTokens += times * saidTokens(usage)
    else outputs[i] = times
    if (times > 0 && kind !== 'chat')
      throw bad('messages', `${id} answers with no text that a "job_output" could stand for: its kind is ${kind}.`)
    if (isTerminal(state) && state !== 'done')
      throw new SluiceError('dependency_failed', {
        param: 'after',
        message: `${id}, which the job is to come after, has ended as ${state}.`,
      })
  }
  const weight = { promptTokens, ...(outputs.some((times) => times > 0) && { outputs }) }
  if (parent === undefined) return run === undefined ? weight : { ...weight, run }
  const from = await seen(deps, caller, user, parent, 'parent')
  if (run !== undefined && from.run !== undefined && from.run !== run)
    throw bad('run', `Its parent ${parent} belongs to another run: leave "run" out, or name the same one.`)
  const of = run ?? from.run
  return { ...weight, ...(of !== undefined && { run: of }), depth: (from.depth ?? 1) + 1 }
}

/** What a model is told of it, its caller is told; who acts for a user tells them nothing of another. */
async function seen(
  { jobs, keys }: Deps,
  caller: Caller,
  user: string | undefined,
  id: JobId,
  param: string,
): Promise<Job> {
  const job = await jobs.get(id)
  const isSeen =
    job !== null &&
    canSee(caller, job) &&
    (user === undefined || job.user === undefined || job.user === user) &&
    (job.keyId === caller.key.id || hasScope(keys, caller.key, 'read'))
  if (isSeen) return job
  throw new SluiceError('job_not_found', { param, message: `There is no such job as ${id}, which "${param}" names.` })
}

/** Outputs of jobs stand for texts in messages: only of those that it comes after. Throws invalid_request. */
export function checkOutputs(value: JsonRecord, { after, options }: Pick<JobDraft, 'after' | 'options'>): void {
  const inputs: unknown = value['input']
  if (Array.isArray(inputs) && inputs.some(isOutput))
    throw bad('input', 'A "job_output" stands for a text in a message. Here are none: send the text itself.')
  for (const { at, job } of outputsIn(value)) {
    // Its memory keeps what was sent, and would send the part to all later models
    if (options.conversation !== undefined)
      throw bad(at, 'A "job_output" can\'t be part of a conversation: send its text.')
    if (typeof job !== 'string' || after?.includes(job) !== true)
      throw bad(`${at}.job`, 'The "job" of a "job_output" must be one of those in "after".')
  }
}

function outputsIn({ messages }: JsonRecord): ReadonlyArray<{ readonly at: string; readonly job: unknown }> {
  if (!Array.isArray(messages)) return NONE
  const found: Array<{ readonly at: string; readonly job: unknown }> = []
  for (let i = 0; i < messages.length; i++) {
    const content: unknown = isRecord(messages[i]) ? messages[i]['content'] : null
    if (!Array.isArray(content)) continue
    for (let k = 0; k < content.length; k++) {
      const part: unknown = content[k]
      if (isOutput(part)) found.push({ at: `messages[${i}].content[${k}]`, job: part['job'] })
    }
  }
  return found
}

export const isOutput = (part: unknown): part is JsonRecord => isRecord(part) && part['type'] === JOB_OUTPUT
const NONE: readonly never[] = []
