/** A request before what its key may use, and the guards of its tenant, whichever way it came. */
import type { Job, JobDraft } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { Decision } from '../../core/ports/admission.ts'
import { type Content, contentOf } from '../../core/text-request.ts'
import { refusalOf } from '../caller/access.ts'
import type { GatewayDeps } from '../deps.ts'
import type { Draft } from './draft.ts'
import { isBound, maxOutputTokens } from './output.ts'

/** As its guards let it pass. Its digest stays that of what the client sent, and would send again. */
export function edited(job: JobDraft, edit: NonNullable<Decision['edit']>, userIn: Draft['userIn']): JobDraft {
  const body = edit(job.body)
  const request = JSON.parse(Buffer.from(body).toString('utf8')) as JsonRecord
  const user = userIn?.(request)
  const most = isBound(job.kind) ? maxOutputTokens(job.kind, request) : null
  const { maxOutputTokens: _before, ...rest } = job
  return { ...rest, body, ...(user !== undefined && { user }), ...(most !== null && { maxOutputTokens: most }) }
}

/** `request`: read only where a guard looks at it. */
export function decide(
  deps: Pick<GatewayDeps, 'admission' | 'clock' | 'keys' | 'tenants'>,
  job: JobDraft | Job,
  request: () => JsonRecord,
): Decision {
  const refusal = refusalOf(deps, job)
  if (refusal !== null) return { error: refusal, edit: null, rulings: [] }
  const { admission, clock } = deps
  const { tenant, kind, model, promptTokens } = job
  let content: Content | null = null
  const read = (): Content => {
    content ??= contentOf(request())
    return content
  }
  const texts = () => read().texts
  const media = () => read().media
  return admission.check({ tenant, kind, model, promptTokens, texts, media, request, atMs: clock.wallMs() })
}
