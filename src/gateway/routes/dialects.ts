/** Requests in any dialect, answered on their own connection: PROTOCOL.md section 3. */
import { SluiceError } from '../../core/errors.ts'
import type { Job } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { Dialect } from '../../core/ports/dialect.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answered, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import { standingHeaders } from '../http/rate-limit.ts'
import type { Route } from '../http/route.ts'
import type { Answers } from '../read/answers.ts'
import { cacheHeader } from '../read/cached.ts'
import type { Jobs } from '../read/jobs.ts'
import { eventsOf, streamOf } from '../read/location.ts'
import { withMedia } from '../read/media.ts'
import { type Draft, dialectDraft, type SentBody, type Spoken } from '../submit/draft.ts'
import { referencesIn } from '../submit/recall.ts'
import { checkLength } from '../submit/size.ts'
import type { Submits } from '../submit/submit.ts'
import { readUpload, type UploadBody } from '../submit/upload.ts'
import { resourceAnswer } from './resources.ts'

const READY = Promise.resolve()

export function dialectRoutes(deps: GatewayDeps, jobs: Jobs, submits: Submits, answers: Answers): readonly Route[] {
  const { options, dialects } = deps

  const submit = (spoken: Spoken) => async (call: KeyCall) => {
    const { form } = spoken
    answers.owe(call)
    const isAsync = /\brespond-async\b/i.test(call.header('prefer') ?? '')
    checkLength(deps.limits(), call)
    const body =
      form.uploads === undefined
        ? await readJson(call, options.maxBodyBytes, options)
        : await readUpload(deps, call, form.uploads)
    try {
      return await submitted(call, spoken, body, isAsync)
    } catch (error) {
      if ('discard' in body) await body.discard()
      throw error
    }
  }

  /** An upload that repeats an earlier one, whose job it got, is needed no more. Never rejects. */
  async function discardRepeated({ form }: Spoken, body: SentBody | UploadBody, { id }: Job): Promise<void> {
    if (!('discard' in body) || form.uploads === undefined) return
    try {
      const request = await deps.jobs.request(id)
      const named = request === null ? null : (JSON.parse(Buffer.from(request).toString()) as JsonRecord)
      const [{ name }] = form.uploads
      if (named !== null && String(named[name]) !== String(body.value[name])) await body.discard()
    } catch {} // it expires
  }

  async function submitted(
    call: KeyCall,
    spoken: Spoken,
    body: SentBody | UploadBody,
    isAsync: boolean,
  ): Promise<Answered> {
    const { dialect, form } = spoken
    const { headers: sent } = call.exchange.request
    const references =
      form.refersTo === undefined ? undefined : await referencesIn(deps, call.caller, spoken, body.value, sent)
    const detaches = form.detaches?.(body.value) === true
    const plain = !isAsync && !detaches
    const draft = submits.drafted(call.caller, call, () =>
      dialectDraft(deps, call.caller, sent, body, spoken, plain, call, references),
    )
    const { stream } = draft
    if (detaches && !isAsync) return detached(call, dialect, draft)
    if (isAsync) {
      const taken = await submits.one(call.caller, draft)
      void discardRepeated(spoken, body, taken.job)
      // The answer is the job, which its events continue, in the form that was asked for
      return json(202, await jobs.submitted(taken, call.caller), {
        location: stream === null ? eventsOf(taken.job.id) : streamOf(taken.job.id, stream, dialects),
        'sluice-job': taken.job.id,
        'preference-applied': 'respond-async',
        ...standingHeaders(taken.standing),
        ...cacheHeader(taken.job),
      })
    }
    const begun = await submits.begin(call.caller, draft)
    if (begun instanceof SluiceError) {
      if ('discard' in body) await body.discard()
      return begun
    }
    void discardRepeated(spoken, body, begun.job)
    // It may be the first one of a retry; this request decides how it is shown
    const { shownAs } = draft.job
    const isAsAsked = begun.job.dialect === dialect.name && begun.job.shownAs === shownAs
    const job = isAsAsked ? begun.job : { ...begun.job, dialect: dialect.name, shownAs }
    const headers = { ...standingHeaders(begun.standing), ...cacheHeader(begun.job) }
    return stream === null
      ? withMedia(deps, call, job, await answers.whole(call, job, dialect, headers))
      : answers.stream(call, job, stream, { cursor: null, submits: true, ready: begun.power(), headers })
  }

  /** Acknowledged as it stands, or followed by whoever likes; it runs on without this connection. */
  async function detached(call: KeyCall, dialect: Dialect, draft: Draft): Promise<Answered> {
    const { job, standing } = await submits.one(call.caller, draft)
    const told = { ...standingHeaders(standing), ...cacheHeader(job) }
    if (draft.stream !== null)
      return answers.stream(call, job, draft.stream, { cursor: null, submits: true, ready: READY, headers: told })
    const { resource } = dialect
    if (resource === undefined) throw new SluiceError('internal', { message: 'A detached answer has no address.' })
    const found = (await deps.jobs.get(job.id)) ?? job
    return resourceAnswer(deps, resource, found, { 'sluice-job': job.id, ...told })
  }

  return dialects.spoken.flatMap((dialect) =>
    dialect.requests.map(
      (form): Route => ({
        method: 'POST',
        path: form.path,
        query: form.query,
        auth: 'tenant',
        errors: dialect,
        run: submit({ dialect, form }),
      }),
    ),
  )
}
