/** Requests in any dialect, answered on their own connection: PROTOCOL.md section 3. */
import { SluiceError } from '../../core/errors.ts'
import type { Dialect, RequestForm } from '../../core/ports/dialect.ts'
import type { GatewayDeps } from '../deps.ts'
import { json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import { standingHeaders } from '../http/rate-limit.ts'
import type { Route } from '../http/route.ts'
import type { Answers } from '../read/answers.ts'
import { cacheHeader } from '../read/cached.ts'
import type { Jobs } from '../read/jobs.ts'
import { eventsOf, streamOf } from '../read/location.ts'
import { dialectDraft } from '../submit/draft.ts'
import { checkLength } from '../submit/size.ts'
import type { Submits } from '../submit/submit.ts'

export function dialectRoutes(deps: GatewayDeps, jobs: Jobs, submits: Submits, answers: Answers): readonly Route[] {
  const { options, dialects } = deps

  const submit = (dialect: Dialect, form: RequestForm) => async (call: KeyCall) => {
    answers.owe(call)
    const later = /\brespond-async\b/i.test(call.header('prefer') ?? '')
    checkLength(deps.limits(), call)
    const body = await readJson(call, options.maxBodyBytes, options)
    const { headers: sent } = call.exchange.request
    const draft = submits.drafted(call.caller, call, () =>
      dialectDraft(deps, call.caller, sent, body, { dialect, form }, !later, call),
    )
    const { stream } = draft
    if (later) {
      const taken = await submits.one(call.caller, draft)
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
    if (begun instanceof SluiceError) return begun
    // It may be the first one of a retry; this request decides how it is shown
    const { shownAs } = draft.job
    const isAsAsked = begun.job.dialect === dialect.name && begun.job.shownAs === shownAs
    const job = isAsAsked ? begun.job : { ...begun.job, dialect: dialect.name, shownAs }
    const headers = { ...standingHeaders(begun.standing), ...cacheHeader(begun.job) }
    return stream === null
      ? answers.whole(call, job, dialect, headers)
      : answers.stream(call, job, stream, { cursor: null, submits: true, ready: begun.power(), headers })
  }

  return dialects.spoken.flatMap((dialect) =>
    dialect.requests.map(
      (form): Route => ({
        method: 'POST',
        path: form.path,
        query: form.query,
        auth: 'tenant',
        errors: dialect,
        run: submit(dialect, form),
      }),
    ),
  )
}
