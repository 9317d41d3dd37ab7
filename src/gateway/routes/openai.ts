/** OpenAI's dialect: PROTOCOL.md section 3. */
import type { Dialect, RequestForm } from '../../core/ports/dialect.ts'
import type { GatewayDeps, PublicModel } from '../deps.ts'
import { json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import type { Answers } from '../read/answers.ts'
import type { Jobs } from '../read/jobs.ts'
import { eventsOf, streamOf } from '../read/location.ts'
import { dialectDraft, namesOf, noModel } from '../submit/draft.ts'
import type { Submits } from '../submit/submit.ts'

/** What clients of OpenAI's API add on their own; it changes nothing here. */
const IGNORED = ['api-version', 'beta', 'client_version']

export function openaiRoutes(deps: GatewayDeps, jobs: Jobs, submits: Submits, answers: Answers): readonly Route[] {
  const { options, models, dialects } = deps

  const submit = (dialect: Dialect, form: RequestForm) => async (call: KeyCall) => {
    const later = /\brespond-async\b/i.test(call.header('prefer') ?? '')
    const body = await readJson(call, options.maxBodyBytes, options)
    const draft = dialectDraft(deps, call.caller, call.exchange.request.headers, body, { dialect, form }, !later, call)
    const stream = body.value['stream'] === true ? dialect.stream : null
    if (later) {
      const taken = await submits.one(call.caller, draft)
      // The answer is the job, which its events continue, in the form that was asked for
      return json(202, await jobs.submitted(taken, call.caller), {
        location: stream === null ? eventsOf(taken.job.id) : streamOf(taken.job.id, stream, dialects),
        'sluice-job': taken.job.id,
        'preference-applied': 'respond-async',
      })
    }
    const { taken, power } = await submits.begin(call.caller, draft)
    // It may be the first one of a retry; this request decides how it is shown
    const job = { ...taken.job, dialect: dialect.name, shownAs: draft.job.shownAs }
    return stream === null
      ? answers.whole(call, job, dialect)
      : answers.stream(call, job, stream, { cursor: null, submits: true, ready: power() })
  }

  return [
    ...dialects.spoken.flatMap((dialect) =>
      dialect.requests.map(
        (form): Route => ({
          method: 'POST',
          path: form.path,
          query: IGNORED,
          auth: 'tenant',
          errorForm: dialect.error,
          run: submit(dialect, form),
        }),
      ),
    ),
    {
      method: 'GET',
      path: '/v1/models',
      query: IGNORED,
      auth: 'tenant',
      run: () => json(200, { object: 'list', data: models.list().map(modelView) }),
    },
    {
      method: 'GET',
      path: '/v1/models/*id',
      query: IGNORED,
      auth: 'tenant',
      run(call) {
        const { id } = call.params
        if (models.resolve(id) === null) throw noModel(id, namesOf(models))
        return json(200, modelView(models.list().find((m) => m.id === id) ?? { id, created: 0, ownedBy: 'sluice' }))
      },
    },
  ]
}

const modelView = ({ id, created, ownedBy }: PublicModel): Record<string, unknown> => ({
  id,
  object: 'model',
  created,
  owned_by: ownedBy,
})
