/**
 * Submits whose end is to be told: what will tell it is stored before the job is, so that nothing lies between a job's
 * acceptance and the promise. A job that is refused, or joined to another, leaves nothing; where the process dies
 * before its job is stored, a look finds no job, and removes it.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { JobDraft, JobId } from '../core/job.ts'
import type { Documents } from '../core/ports/documents.ts'
import type { Submissions, Submitted } from '../core/ports/submissions.ts'
import type { Endpoints, Known } from './endpoints.ts'
import { documentOf, type EventBody, eventOfJob, KIND, type Tells, untried } from './event.ts'
import { nextLookMs } from './tries.ts'

export interface AnnouncingDeps {
  readonly inner: Submissions
  readonly documents: Documents
  readonly endpoints: Endpoints
  readonly clock: Clock
}

type Asking = Pick<JobDraft, 'tenant' | 'webhook' | 'tells'>
/** Refused, or who is to be told. */
type Wanted = SluiceError | EventBody | null

const FAMILY: Readonly<Record<Tells, string>> = { response: 'response.', job: 'job.' }

export function announcing({ inner, documents, endpoints, clock }: AnnouncingDeps): Submissions {
  /** Null: nobody is. */
  function wanted({ webhook, tells }: Asking, known: readonly Known[]): Wanted {
    const named = webhook === undefined ? undefined : known.find(({ id }) => id === webhook)
    if (webhook !== undefined && named?.enabled !== true) return noSuch(named !== undefined)
    const kind = tells ?? 'job'
    // Which of them, shows at its end
    const others =
      tells === undefined
        ? []
        : known.filter(
            ({ id, enabled, events }) =>
              enabled && id !== webhook && events.some((name) => name.startsWith(FAMILY[kind])),
          )
    if (named === undefined && others.length === 0) return null
    const to = [
      ...(named === undefined ? [] : [untried(named.id, true)]),
      ...others.map(({ id }) => untried(id, false)),
    ]
    return { tells: kind, looks: 0, createdAtMs: Math.floor(clock.wallMs()), happened: null, to }
  }

  const asks = ({ webhook, tells }: Asking): boolean => webhook !== undefined || tells !== undefined

  /** True where no draft can be told to anybody, as far as is known in this turn. */
  const isPlain = (drafts: readonly Asking[]): boolean =>
    drafts.every((draft) => !asks(draft) || (draft.webhook === undefined && endpoints.peek(draft.tenant)?.length === 0))

  async function store(id: JobId, { tenant }: Asking, event: EventBody): Promise<boolean> {
    const dueAtMs = clock.wallMs() + nextLookMs(0, 0)
    return (await documents.put(documentOf(eventOfJob(id), tenant, { ...event, job: id }, dueAtMs, 0), 0)) !== null
  }

  async function tellOf(id: JobId, draft: Asking): Promise<void> {
    const event = wanted(draft, await endpoints.of(draft.tenant))
    if (event !== null && !(event instanceof SluiceError)) await store(id, draft, event)
  }

  /** What has no job. Where that fails, a look removes it. */
  async function forget(id: JobId): Promise<void> {
    const document = await documents.get(KIND, eventOfJob(id))
    if (document !== null) await documents.remove(KIND, document.id, document.version)
  }

  async function submit(drafts: readonly JobDraft[], given?: readonly JobId[]): Promise<readonly Submitted[]> {
    const known = new Map(
      await Promise.all(
        [...new Set(drafts.filter(asks).map(({ tenant }) => tenant))].map(
          async (tenant) => [tenant, await endpoints.of(tenant)] as const,
        ),
      ),
    )
    const wants = drafts.map((draft) => (asks(draft) ? wanted(draft, known.get(draft.tenant)!) : null))
    if (wants.every((one) => one === null)) return inner.submit(drafts, given)
    const places = drafts.flatMap((_, i) => (wants[i] instanceof SluiceError ? [] : [i]))
    const ids = given === undefined ? await inner.reserve(places.length) : places.map((i) => given[i])
    const made = await Promise.all(
      places.map((i, n) => {
        const event = wants[i] as EventBody | null
        // Where it is there, the job came before under this id
        return event !== null && store(ids[n], drafts[i], event)
      }),
    )
    const results =
      places.length === 0
        ? []
        : await inner.submit(
            places.map((i) => drafts[i]),
            ids,
          )
    await Promise.all(
      results.map((result, n) => {
        const isItself = result.kind === 'accepted' && result.job.id === ids[n]
        return made[n] && !isItself && forget(ids[n]).catch(() => {})
      }),
    )
    const rest = results.values()
    return wants.map((want) => (want instanceof SluiceError ? { kind: 'refused', error: want } : rest.next().value!))
  }

  return {
    reserve: (n) => inner.reserve(n),
    async redrive(job, by, terms) {
      const result = await inner.redrive(job, by, terms)
      // Its id is known only now: where the process dies in between, the end of this one is not told
      if (result?.kind === 'accepted' && !isPlain([result.job])) await tellOf(result.job.id, result.job)
      return result
    },
    submit: (drafts, ids) => (isPlain(drafts) ? inner.submit(drafts, ids) : submit(drafts, ids)),
    async refuse(draft, id, error) {
      if (!isPlain([draft])) await tellOf(id, draft)
      return inner.refuse(draft, id, error)
    },
    async begin(draft) {
      if (isPlain([draft])) return inner.begin(draft)
      // Power-safe before it begins: so is what tells its end
      const [result] = await submit([draft])
      return { result, power: async () => {} }
    },
  }
}

const noSuch = (isDisabled: boolean): SluiceError =>
  new SluiceError('invalid_request', {
    param: 'webhook',
    message: isDisabled
      ? 'The webhook that "webhook" names is disabled: enable it, or leave it out.'
      : 'There is no webhook of the id that "webhook" has: make one with POST /v1/webhooks.',
  })
