/**
 * Submits of pools that have an intake: published, and told as accepted at the confirm. A plain POST goes past it: its
 * client holds the line, and was promised nothing. A job with an idempotency key is told once it is owned: only then it
 * is known whether it is another one.
 */
import type { Clock } from '../core/clock.ts'
import { ERRORS, type ErrorCode, SluiceError } from '../core/errors.ts'
import type { Job, JobDraft, JobId } from '../core/job.ts'
import type { Intake } from '../core/ports/intake.ts'
import type { Jobs } from '../core/ports/jobs.ts'
import type { Submissions, Submitted } from '../core/ports/submissions.ts'
import { type Envelopes, orderOf } from './envelope.ts'
import type { Figures } from './figures.ts'
import type { Issued } from './issued.ts'
import { notArrived, type Published, type Told } from './published.ts'

export interface PublishingDeps {
  readonly inner: Submissions
  readonly jobs: Pick<Jobs, 'byKey'>
  /** Of a pool; null: it has none. */
  readonly intakeOf: (pool: string) => Intake | null
  readonly envelopes: Envelopes
  readonly published: Published
  readonly issued: Issued
  readonly figures: Figures
  readonly clock: Clock
}

const NO_BODY = new Uint8Array(0)
const NOWHERE = { position: 0, tokensAhead: 0 }
/** A job with an idempotency key is told within this; its client may come again. */
const OWNED_WITHIN_MS = 10_000
const KEY_POLL_MS = 250
/** A connection waits for its job as long as for its answer. */
const EVER = Infinity

export function publishing(deps: PublishingDeps): Submissions {
  const { inner, jobs, intakeOf, envelopes, published, issued, figures, clock } = deps

  async function publish(intake: Intake, draft: JobDraft, id: JobId): Promise<Submitted> {
    const isAsked = draft.options.idempotencyKey !== undefined
    // A limit that has no room is waited for: nobody can be told any more
    const options = isAsked ? draft.options : { ...draft.options, policy: 'wait' as const }
    const order = orderOf(draft, id)
    const told = published.add(shown(draft, id, clock.wallMs()), order)
    const began = clock.monoMs()
    try {
      const payload = envelopes.seal({ type: 'job', id, draft: { ...draft, options }, isAsked })
      await intake.publish({ pool: draft.options.pool, key: envelopes.keyOf(order), id, payload })
    } catch (error) {
      figures.refused.of(intake.name, draft.options.pool).add()
      // It may be there all the same. With a key whoever comes again is given it; else nobody asks for it
      if (isAsked) published.forget(id)
      else published.abandon(id)
      return { kind: 'refused', error: SluiceError.from(error) }
    }
    figures.published.of(intake.name, draft.options.pool).add()
    figures.confirmMs.of(intake.name, draft.options.pool).record(clock.monoMs() - began)
    if (isAsked) return decided(draft, told)
    const owned = (signal: AbortSignal): Promise<Submitted> =>
      published.outcome(told, EVER, signal).then((outcome) => outcome ?? { kind: 'refused', error: notArrived() })
    return { kind: 'accepted', job: told.job, place: NOWHERE, owned }
  }

  /** What the coordinator made of it: a new job, or the one that is there already under its key. */
  async function decided(draft: JobDraft, told: Told): Promise<Submitted> {
    const until = clock.monoMs() + OWNED_WITHIN_MS
    while (clock.monoMs() < until) {
      const outcome = await published.outcome(told, KEY_POLL_MS)
      if (outcome !== null) return refusedElsewhere(outcome) ?? outcome
      // Another process has joined it to another one
      const known = await jobs.byKey(draft.tenant, draft.options.idempotencyKey!).catch(() => null)
      if (known !== null && known !== told.job.id) return (await inner.submit([draft]))[0]
    }
    return { kind: 'refused', error: notArrived() }
  }

  /** Of an order: until its last key has been looked up. Resolves whatever came of it. */
  const looking = new Map<string, Promise<unknown>>()

  /** The jobs of an order are published as they were asked for, also where one has a key that is looked up first. */
  async function submitOne(intake: Intake, draft: JobDraft, id: JobId): Promise<Submitted> {
    const { idempotencyKey } = draft.options
    const order = orderOf(draft, id)
    const before = looking.get(order)
    if (idempotencyKey === undefined && before === undefined) return publish(intake, draft, id)
    const known = idempotencyKey === undefined ? null : jobs.byKey(draft.tenant, idempotencyKey)
    const turn = Promise.allSettled([known, before])
    looking.set(order, turn)
    const [found] = await turn
    if (looking.get(order) === turn) looking.delete(order)
    if (found.status === 'rejected') throw found.reason
    // In the same turn: nothing of the order comes in between
    return found.value === null ? publish(intake, draft, id) : (await inner.submit([draft]))[0]
  }

  return {
    refuse: (draft, id, error) => inner.refuse(draft, id, error),
    begin: (draft) => inner.begin(draft),
    redrive: (job, by, price) => inner.redrive(job, by, price),
    reserve: (n) => inner.reserve(n),
    async submit(drafts, reserved) {
      const intakes = drafts.map(({ options }) => intakeOf(options.pool))
      const count = intakes.filter((intake) => intake !== null).length
      if (count === 0 || reserved !== undefined) return inner.submit(drafts, reserved)
      const direct = drafts.filter((_, i) => intakes[i] === null)
      let ids: Iterator<JobId>
      try {
        ids = (await inner.reserve(count))[Symbol.iterator]()
      } catch (thrown) {
        return refusedAll(drafts)(thrown)
      }
      const publishing = drafts.map((draft, i) => {
        const intake = intakes[i]
        return intake === null
          ? null
          : submitOne(intake, draft, issued.sign(ids.next().value as JobId, draft)).catch(
              (thrown: unknown): Submitted => ({ kind: 'refused', error: SluiceError.from(thrown) }),
            )
      })
      const submitted = direct.length === 0 ? [] : await inner.submit(direct).catch(refusedAll(direct))
      const rest = submitted.values()
      return Promise.all(publishing.map((each) => each ?? rest.next().value!))
    },
  }
}

/** What fails for some says nothing of the others, which may have been published. */
const refusedAll =
  (drafts: readonly JobDraft[]) =>
  (thrown: unknown): readonly Submitted[] => {
    const error = SluiceError.from(thrown)
    return drafts.map(() => ({ kind: 'refused', error }))
  }

/** Another process took it, and it was refused there: it is stored as that, without its key. */
function refusedElsewhere(outcome: Submitted): Submitted | null {
  if (outcome.kind !== 'accepted') return null
  const { state, options, error } = outcome.job
  if (state !== 'failed' || error === undefined || options.idempotencyKey !== undefined) return null
  const { code, sluice_code = code, message, param } = error
  return { kind: 'refused', error: new SluiceError(isCode(sluice_code) ? sluice_code : 'internal', { message, param }) }
}

const isCode = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code)

const shown = ({ isRetry: _retry, ...draft }: JobDraft, id: JobId, acceptedAtMs: number): Job => ({
  ...draft,
  id,
  body: NO_BODY,
  state: 'queued',
  epoch: 0,
  attempts: 0,
  acceptedAtMs,
})
