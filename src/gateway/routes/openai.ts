/** OpenAI's dialect: PROTOCOL.md section 3. */
import type { JobKind } from '../../core/job.ts'
import type { GatewayDeps, PublicModel } from '../deps.ts'
import { readJson } from '../http/body.ts'
import type { KeyCall } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import type { Answers } from '../read/answers.ts'
import type { Jobs } from '../read/jobs.ts'
import { locationOf } from '../read/location.ts'
import { dialectDraft, namesOf, noModel } from '../submit/draft.ts'
import type { Submits } from '../submit/submit.ts'

/** What clients of OpenAI's API add on their own; it changes nothing here. */
const IGNORED = ['api-version', 'beta', 'client_version']

export function openaiRoutes(deps: GatewayDeps, jobs: Jobs, submits: Submits, answers: Answers): readonly Route[] {
  const { options, models } = deps

  const submit = (kind: JobKind) => async (call: KeyCall) => {
    const later = /\brespond-async\b/i.test(call.header('prefer') ?? '')
    const body = await readJson(call, options.maxBodyBytes, options)
    const draft = dialectDraft(deps, call.caller, call.request.headers, body, kind, !later, call)
    if (later) {
      const taken = await submits.one(call.caller, draft)
      // The answer is the job, which its events continue; as chunks where chunks were asked for
      const rendering = kind === 'chat' && body.value['stream'] === true ? 'chat' : 'native'
      call.json(202, await jobs.submitted(taken, call.caller), {
        location: locationOf(taken.job.id, rendering),
        'sluice-job': taken.job.id,
        'preference-applied': 'respond-async',
      })
      return
    }
    const { taken, power } = await submits.begin(call.caller, draft)
    answers.plain(call, draft.job, taken.job, power)
  }

  return [
    { method: 'POST', path: '/v1/chat/completions', query: IGNORED, auth: 'tenant', run: submit('chat') },
    { method: 'POST', path: '/v1/embeddings', query: IGNORED, auth: 'tenant', run: submit('embedding') },
    {
      method: 'GET',
      path: '/v1/models',
      query: IGNORED,
      auth: 'tenant',
      run: (call) => call.json(200, { object: 'list', data: models.list().map(modelView) }),
    },
    {
      method: 'GET',
      path: '/v1/models/*id',
      query: IGNORED,
      auth: 'tenant',
      run(call) {
        const { id } = call.params
        if (models.resolve(id) === null) throw noModel(id, namesOf(models))
        call.json(200, modelView(models.list().find((m) => m.id === id) ?? { id, created: 0, ownedBy: 'sluice' }))
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
