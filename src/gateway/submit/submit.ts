/**
 * The one door for submits, whichever way they come: guards, then the queue, then a fact. Who asks is
 * checked in the turn in which the queue decides: since the headers came the key may have been revoked, or the tenant
 * erased. What is joined must be the caller's to see (T1).
 */
import { SluiceError } from '../../core/errors.ts'
import { aboutDraft, aboutJob } from '../../core/facts.ts'
import type { Cached, Job, JobDraft, JobId, Place } from '../../core/job.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { Standing } from '../../core/limits.ts'
import { unitsAsked } from '../../core/media-units.ts'
import type { Decision } from '../../core/ports/admission.ts'
import type { Begun, Redriver, Submitted } from '../../core/ports/submissions.ts'
import type { Ruling } from '../../core/ruling.ts'
import type { Auth } from '../caller/auth.ts'
import { type Caller, canSee, shareOf as sessionShareOf } from '../caller/caller.ts'
import type { GatewayDeps } from '../deps.ts'
import type { Entering, Runs } from '../runs/runs.ts'
import { comingAnew } from './anew.ts'
import type { Draft, Origin } from './draft.ts'
import { decide, edited } from './guarded.ts'
import { insteadOf } from './instead.ts'
import { priceNow, refusedUnpriced, whyUnpriced } from './price.ts'
import { isRelated, placeOf } from './related.ts'
import { shareOf } from './sharing.ts'
import { refusedForSize } from './size.ts'

export interface Taken {
  readonly kind: 'accepted' | 'joined'
  readonly job: Job
  readonly place: Place
  readonly standing?: Standing
  /** As of Submitted. */
  readonly owned?: (signal: AbortSignal) => Promise<Submitted>
}

export interface Started {
  readonly job: Job
  readonly standing: Standing | undefined
  readonly power: () => Promise<void>
}

export interface Submits {
  /**
   * What `make` makes of what came. What can be no job (its model is not configured, its form is wrong) is refused,
   * too: a fact tells that, without the model's name, which is its caller's text. Throws as `make`.
   */
  drafted(caller: Caller, origin: Pick<Origin, 'requestId' | 'trace' | 'startedMono'>, make: () => Draft): Draft
  /**
   * Resolves when all that is taken is durable; each result is in the place of its draft, or of the error that stands
   * for one. Throws invalid_api_key, invalid_token.
   */
  all(caller: Caller, drafts: ReadonlyArray<Draft | SluiceError>): Promise<readonly Submitted[]>
  /** The same for one. Throws what it was refused for. */
  one(caller: Caller, draft: Draft): Promise<Taken>
  /**
   * A job whose answer is sent at once; nothing that names it may be shown before `power`. What it is refused for is
   * returned. Throws as `all`.
   */
  begin(caller: Caller, draft: Draft): Promise<Started | SluiceError>
  /** One that came without a key: its caller submits it, and tells what became of it. Throws as `one`. */
  enter(caller: Caller, draft: Draft): { readonly draft: JobDraft; readonly told: (result: Submitted) => void }
  /**
   * The job again, as the caller's; null: the operator asks, and it stays that of its own key. Throws as `one`, and
   * invalid_request for a job that can't be.
   */
  again(caller: Caller | null, id: JobId): Promise<Taken>
}

type SubmitDeps = Pick<
  GatewayDeps,
  | 'admission'
  | 'models'
  | 'keys'
  | 'tenants'
  | 'sharing'
  | 'weights'
  | 'limits'
  | 'prices'
  | 'ownKeys'
  | 'submissions'
  | 'jobs'
  | 'emit'
  | 'clock'
  | 'onFault'
>

export function createSubmits(deps: SubmitDeps, auth: Auth, runs: Pick<Runs, 'admit' | 'entered' | 'check'>): Submits {
  const { weights, sharing, submissions, jobs, emit, clock } = deps

  /** As its tenant's guards let it pass; else the error that blocks it. */
  function guarded({ job, startedMono, uploadMs, value, userIn }: Draft): Passed | Blocked {
    const tooLarge = refusedForSize(deps.limits(), job)
    if (tooLarge !== null) return { error: tooLarge, rulings: NO_RULINGS }
    const { error, edit, rulings } = decide(deps, job, () => value)
    const refused = error ?? deps.ownKeys.refusal(job.tenant, job.model) ?? refusedUnpriced(deps.limits(), job)
    if (refused !== null) return { error: refused, rulings }
    job.admissionMs = Math.round((clock.monoMs() - startedMono - uploadMs) * 100) / 100
    try {
      const passed = edit === null ? job : edited(job, edit, userIn)
      const rules = sharing(job.tenant)
      // What it asks depends on what others answer
      const share = rules === null || job.after !== undefined ? undefined : shareOf(rules, job, value, passed.body)
      return { job: share === undefined ? passed : { ...passed, share }, rulings }
    } catch (thrown) {
      return { error: SluiceError.from(thrown), rulings }
    }
  }

  /** The outcome, for the caller and as a fact. `from`: what brought it; null: a job that is there already. */
  function outcome<R extends Begun>(
    caller: Caller | null,
    job: JobDraft | Job,
    result: R,
    rulings: readonly Ruling[],
    from: Draft | null,
  ): R | Refused {
    const isForeign = result.kind === 'joined' && caller !== null && !canSee(caller, result.job)
    const told = isForeign ? refusal(new SluiceError('idempotency_conflict')) : result
    const id = told.kind === 'refused' ? null : told.job.id
    for (const ruling of rulings) emit({ ...aboutDraft(job), type: 'guard-decided', job: id, ...ruling })
    const tookMs = from === null ? undefined : clock.monoMs() - from.startedMono
    const parentSpan = from?.parentSpan
    if (told.kind === 'refused') {
      const { code, limit } = told.error
      emit({ ...aboutDraft(job), type: 'job-refused', code, run: job.run, tookMs, parentSpan })
      if (code === 'model_unpriced') {
        const detail = whyUnpriced(deps.prices, job.model, deps.clock.wallMs())
        emit({ ...aboutDraft(job), type: 'price-missing', detail })
      }
      if (limit !== undefined)
        emit({ ...aboutDraft(job), type: 'limit-refused', code, limitLevel: limit.level, unit: limit.unit })
    } else
      emit({
        ...aboutJob(told.job),
        type: 'job-submitted',
        kind: job.kind,
        joined: told.kind === 'joined',
        tookMs,
        parentSpan,
        ...cachedOf(told.job),
      })
    return told
  }

  /** The outcome of a draft; how well it was weighed its end will tell. */
  function taking<R extends Begun>(caller: Caller, draft: Draft, result: R, rulings: readonly Ruling[]): R | Refused {
    const { job, weight } = draft
    const told = outcome(caller, job, result, rulings, draft)
    const { tenant, options } = job
    // What is put into its prompt says nothing of how well texts are weighed
    if (told.kind === 'accepted' && job.after === undefined)
      weights.accepted(told.job.id, { tenant, conversation: options.conversation }, weight)
    return told
  }

  function blocked(
    caller: Caller | null,
    job: JobDraft | Job,
    { error, rulings }: Blocked,
    from: Draft | null,
  ): SluiceError {
    outcome(caller, job, refusal(error), rulings, from)
    return error
  }

  /** It is looked at as it stands now, which takes a while where it is related to other jobs. */
  async function related(
    caller: Caller,
    draft: Draft | SluiceError,
    opened: Opened = new Map(),
  ): Promise<Draft | SluiceError> {
    if (draft instanceof SluiceError || !hasOthers(draft.job)) return draft
    try {
      const job = { ...draft.job, ...(await placeOf(deps, caller, draft.job, draft.value)) }
      return { ...draft, job: { ...job, ...(await runs.admit(caller, job, draft.value, opened)) } }
    } catch (thrown) {
      return (await isThere(draft.job).catch(() => false)) ? draft : SluiceError.from(thrown)
    }
  }

  /** It repeats one that was taken while its run went on, and what it names was there: that one is joined. */
  async function isThere({ tenant, user, bodyHash, options: { idempotencyKey } }: JobDraft): Promise<boolean> {
    const id = idempotencyKey === undefined ? null : await jobs.byKey(tenant, idempotencyKey)
    const job = id === null ? null : await jobs.get(id)
    return job !== null && job.bodyHash === bodyHash && job.user === user
  }

  /** Those that were taken are noted in their runs. */
  function enter(drafts: readonly Draft[], results: readonly Begun[], isUnseen: boolean): void {
    const byRun = new Map<string, Entering[]>()
    for (const [i, { job }] of drafts.entries()) {
      const result = results[i]
      if (job.run === undefined || result.kind !== 'accepted') continue
      const entering = byRun.get(job.run) ?? []
      byRun.set(job.run, entering)
      entering.push({ id: result.job.id, isUnseen })
    }
    const [{ job } = { job: null }] = drafts
    for (const [run, entering] of byRun)
      runs.entered(job!.tenant, run, entering, (error) => {
        if (!(error instanceof SluiceError)) deps.onFault(error, job!.requestId ?? '')
      })
  }

  async function all(caller: Caller, sent: ReadonlyArray<Draft | SluiceError>): Promise<readonly Submitted[]> {
    const isAny = sent.some((draft) => !(draft instanceof SluiceError) && hasOthers(draft.job))
    const opened: Opened = new Map()
    const drafts = isAny ? await Promise.all(sent.map((draft) => related(caller, draft, opened))) : sent
    auth.check(caller)
    const checked = drafts.map((draft) => (draft instanceof SluiceError ? draft : guarded(draft)))
    const passed = checked.flatMap((each) => ('job' in each ? [each.job] : []))
    const results = (await submissions.submit(passed)).values()
    const told = drafts.map((draft, i): Submitted => {
      if (draft instanceof SluiceError) return refusal(draft)
      const now = checked[i] as Passed | Blocked
      return taking(caller, draft, 'job' in now ? results.next().value! : refusal(now.error), now.rulings)
    })
    if (isAny) {
      const at = [...drafts.keys()].filter((i) => !(drafts[i] instanceof SluiceError))
      enter(
        at.map((i) => drafts[i] as Draft),
        at.map((i) => told[i]),
        false,
      )
    }
    return told
  }

  return {
    drafted({ key: { tenant, id: keyId } }, { requestId, trace, startedMono }, make) {
      try {
        return make()
      } catch (thrown) {
        const { code } = SluiceError.from(thrown)
        const about = { tenant, keyId, model: null, requestId, trace }
        emit({ ...about, type: 'job-refused', code, tookMs: clock.monoMs() - startedMono })
        throw thrown
      }
    },
    all,
    one: async (caller, draft) => taken((await all(caller, [draft]))[0]),
    async begin(caller, sent) {
      const draft = hasOthers(sent.job) ? await related(caller, sent) : sent
      auth.check(caller)
      if (draft instanceof SluiceError) return blocked(caller, sent.job, { error: draft, rulings: NO_RULINGS }, sent)
      const now = guarded(draft)
      if ('error' in now) return blocked(caller, draft.job, now, draft)
      const { result, power } = await submissions.begin(now.job)
      const told = taking(caller, draft, result, now.rulings)
      if (told.kind === 'accepted') enter([draft], [told], false)
      return told.kind === 'refused' ? told.error : { job: told.job, standing: told.standing, power }
    },
    enter(caller, draft) {
      if (isRelated(draft.job)) throw blocked(caller, draft.job, { error: notThere(), rulings: NO_RULINGS }, draft)
      const now = guarded(draft)
      if ('error' in now) throw blocked(caller, draft.job, now, draft)
      return {
        draft: now.job,
        told(result) {
          enter([draft], [taking(caller, draft, result, now.rulings)], true)
        },
      }
    },
    async again(caller, id) {
      const job = await jobs.get(id)
      if (job === null) throw new SluiceError('job_not_found')
      if (job.state !== 'failed' && job.state !== 'expired') throw notAgain()
      const request = await jobs.request(id)
      if (job.run !== undefined) await runs.check(job.tenant, job.run)
      const anew = await comingAnew(deps, job, request)
      if (caller !== null) auth.check(caller)
      const by = caller === null ? null : redriverOf(caller)
      const { price: _then, instead: _these, ...rest } = job
      const whose = { ...rest, ...(by !== null && { keyId: by.keyId }) }
      const units = unitsAsked(whose.kind, parsed(request), null)
      const price = priceNow(deps, whose, whose.promptTokens, deps.clock.wallMs(), units)
      const instead = insteadOf(deps, deps.models.resolve(whose.model)?.fallbacks, whose, units)
      const terms = { ...(price !== null && { price }), ...(instead !== undefined && { instead }) }
      const asked: Job = { ...whose, ...terms }
      const { error, edit, rulings } = decide(deps, asked, () => parsed(request))
      // It runs as it was stored
      const refused =
        error ??
        deps.ownKeys.refusal(asked.tenant, asked.model) ??
        refusedUnpriced(deps.limits(), asked) ??
        (edit === null || request === null || isSame(edit, request) ? null : notAsStored())
      if (refused !== null) throw blocked(caller, asked, { error: refused, rulings }, null)
      const result = await submissions.redrive(id, by, { ...terms, ...anew })
      if (result === null) throw notAgain()
      return taken(outcome(caller, asked, result, rulings, null))
    },
  }
}

type Opened = Parameters<Runs['admit']>[3]

/** Is it part of a run, or after others? */
const hasOthers = (job: Pick<JobDraft, 'parent' | 'after' | 'run'>): boolean => job.run !== undefined || isRelated(job)

/** Limits and the ledger follow who asks. */
function redriverOf(caller: Caller): Redriver {
  const session = sessionShareOf(caller)
  return { keyId: caller.key.id, ...(session !== null && { session }) }
}

/** As the queue gets it. */
interface Passed {
  readonly job: JobDraft
  readonly rulings: readonly Ruling[]
}

interface Blocked {
  readonly error: SluiceError
  readonly rulings: readonly Ruling[]
}

/** How it gets its answer, where it shares one. */
const cachedOf = ({ cached }: Job): { readonly cached?: Cached } => (cached === undefined ? {} : { cached })

const NO_RULINGS: readonly Ruling[] = []

type Refused = Extract<Begun, { kind: 'refused' }>

const refusal = (error: SluiceError): Refused => ({ kind: 'refused', error })

const notThere = (): SluiceError =>
  new SluiceError('invalid_request', {
    param: 'after',
    message: 'A message can\'t name other jobs ("parent", "after"): submit such a job to POST /v1/jobs.',
  })

const notAgain = (): SluiceError =>
  new SluiceError('invalid_request', { message: 'Only a failed or expired job can be redriven.' })

function isSame(edit: NonNullable<Decision['edit']>, request: Uint8Array): boolean {
  try {
    return Buffer.compare(edit(request), request) === 0
  } catch {
    return false
  }
}

const notAsStored = (): SluiceError =>
  new SluiceError('content_blocked', {
    message: "The tenant's guards would change this request since it was stored: submit it again.",
  })

/** Throws what it was refused for. */
function taken<R extends Begun>(result: R): Exclude<R, Refused> {
  if (result.kind === 'refused') throw result.error
  return result as Exclude<R, Refused>
}

/** Of a job that was accepted. */
const parsed = (request: Uint8Array | null): JsonRecord =>
  request === null ? {} : (JSON.parse(Buffer.from(request).toString('utf8')) as JsonRecord)
