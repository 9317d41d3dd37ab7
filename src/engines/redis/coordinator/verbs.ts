/** What each command does: the machine decides, and the answer leaves in the commit of what was decided. */
import { SluiceError } from '../../../core/errors.ts'
import type { Place, TenantId } from '../../../core/job.ts'
import type { Standing } from '../../../core/limits.ts'
import type { Decision, EndState, PlanModel } from '../../../core/ports/coordinator.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import { laneNames, scheduled } from '../../shared/scheduled.ts'
import { FULL, unavailable } from '../client/errors.ts'
import { RUN_JOBS_MS, runKey } from '../client/names.ts'
import {
  type Cancel,
  type Command,
  type Finish,
  type Item,
  type Submit,
  unpackOutcome,
  type WasFinished,
} from '../protocol/commands.ts'
import { packError, unpackError } from '../protocol/errors.ts'
import type { Answers, FinishAnswer, SubmitAnswer } from '../protocol/messages.ts'
import { type LiveRow, writeLive } from '../protocol/rows.ts'
import { bytesOf, HeldJob } from './held.ts'
import { type KnownJobs, keyOf, keyValue } from './known.ts'
import { absorb } from './outcomes.ts'
import type { Term } from './parts.ts'

const NOWHERE: Place = { position: 0, tokensAhead: 0 }

/** Applies one command. Whoever asked is told what it throws. */
export function apply(term: Term, command: Command, known: KnownJobs): void {
  const { journal, fleet } = term
  const { from, n } = command
  fleet.heard(from, term.now())
  try {
    const answer = answerOf(term, command, known)
    absorb(term, command.type !== 'submit')
    if (answer !== LATER) journal.draft.tell(from, { type: 'answer', n, is: answer.is() })
  } catch (thrown) {
    absorb(term)
    const error = SluiceError.from(thrown)
    if (error.code === 'internal')
      term.emit({ type: 'store-degraded', code: 'internal', detail: `${command.type}: ${causeOf(thrown)}` })
    journal.draft.tell(from, { type: 'refused', n, error: packError(error) })
  }
  journal.split()
}

const causeOf = (thrown: unknown): string =>
  thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)

/** `is` is asked once what was decided is in the draft. */
interface Answer {
  readonly is: () => unknown
}
const LATER = { is: () => null }
const NOTHING: Answer = { is: () => null }
const answer = <C extends Command['type']>(_: C, is: Answers[C]): Answer => ({ is: () => is })

function answerOf(term: Term, command: Command, known: KnownJobs): Answer {
  const { coordinator, fleet, attendance, journal } = term
  const now = term.now()
  switch (command.type) {
    case 'submit':
      return submit(term, command, known)
    case 'cancel':
      return cancel(term, command, known)
    case 'finish':
      return answer('finish', finish(term, command, known))
    case 'hedge':
      return answer('hedge', holds(term, command) ? coordinator.hedge(command.id, command.attempt, now) : null)
    case 'raced':
      if (holds(term, command)) coordinator.raced(command.id, command.attempt, command.race, now)
      return NOTHING
    case 'seat': {
      const { from, worker: id, pools, slots, version } = command
      fleet.seat(from, { id, pools, slots, version }, now)
      return NOTHING
    }
    case 'leave':
      fleet.leave(command.from, command.worker, now)
      return NOTHING
    case 'draining':
      fleet.heard(command.from, now).isDraining = true
      journal.draft.change('SADD', 'drain', command.from)
      return NOTHING
    case 'reading':
      if (command.here) attendance.entered(command.id, command.from)
      else {
        const nowMs = term.time.atMs(now)
        attendance.left(command.id, command.from, nowMs - (command.leftAtMs ?? nowMs), command.atMs)
      }
      return NOTHING
    case 'pause':
    case 'resume':
      return pause(term, command.type, command.selector)
    case 'purge': {
      let purged = 0
      for (const each of laneNames(command.selector))
        purged += coordinator.purge(each, now, command.most - purged).length
      return answer('purge', purged)
    }
    case 'bar':
      if (command.ms === 0) term.barred.delete(command.tenant)
      else term.barred.set(command.tenant, now + command.ms)
      return NOTHING
    case 'forget':
      coordinator.forgetTenant(command.tenant)
      return NOTHING
    case 'configure': {
      const models = command.models.map(withoutLimits)
      term.adopt(models, command.settings)
      coordinator.configure(models, now)
      return NOTHING
    }
  }
}

/** JSON has no Infinity. */
const withoutLimits = (model: PlanModel): PlanModel => ({
  ...model,
  deployments: model.deployments.map((each) => ({ ...each, concurrent: each.concurrent ?? Infinity })),
})

// ---------------------------------------------------------------- submit

/** Shown when it is committed, and what was leased of it with it. */
type Decided =
  | SubmitAnswer
  | { readonly kind: 'taken'; readonly job: HeldJob; readonly follows?: true; readonly standing?: Standing }

function submit(term: Term, command: Submit, known: KnownJobs): Answer {
  const isLate = term.time.atMs(term.now()) > command.untilMs
  const results = command.items.map((item): Decided => {
    const there = term.held.get(item.id)
    if (there !== undefined) return { kind: 'taken', job: there }
    // Its answer was lost, and it has ended since, before this batch or in it: it must not start anew
    if ((command.re || command.reserved) && (known.ended(item.id) !== undefined || known.wasHeld(item.id)))
      return { kind: 'joined', id: item.id, epoch: term.won.epoch }
    if (isLate) return { kind: 'refused', error: packError(unavailable()) }
    return take(term, command, item, known)
  })
  return { is: () => results.map((result) => (result.kind === 'taken' ? shown(term, result) : result)) }
}

function take(term: Term, { from, follows, lasting = false }: Submit, item: Item, known: KnownJobs): Decided {
  const { coordinator, names, journal, attendance, won } = term
  const { id, facts, bodyBytes, isRetry, refused } = item
  const now = term.now()
  if (isBarred(term, facts.tenant, now)) return { kind: 'refused', error: packError(ERASING) }
  const noRoom = lackOfRoom(term, facts.tenant, bytesOf(item))
  if (noRoom !== null) return { kind: 'refused', error: packError(noRoom) }
  const joinsFromMs = term.time.atMs(now) - term.rules.joinAfterEndMs
  const isKnown = known.of(item, (endedAtMs) => endedAtMs >= joinsFromMs && endedAtMs < term.startedAtMs)
  const job = scheduled(id, facts, bodyBytes, now)
  if (refused !== undefined) coordinator.refuse(id, unpackError(refused))
  const decision: Decision = refused === undefined ? coordinator.submit(job, now, isKnown, isRetry) : REFUSED
  if (decision.kind === 'refused') return { kind: 'refused', error: packError(decision.error) }
  if (decision.kind === 'joined') {
    const { id, standing } = decision
    return { kind: 'joined', id, epoch: won.epoch, ...(standing.length > 0 && { standing }) }
  }
  known.taken(item)
  const acceptedAtMs = Math.floor(term.time.atMs(now))
  const { reservation, standing, cached } = decision
  const held = reservation !== null && { reservation }
  const about = cached === undefined ? facts : { ...facts, cached }
  const row: LiveRow = { id, seq: term.seq(), acceptedAtMs, epoch: won.epoch, from, bodyBytes, facts: about, ...held }
  const taken = new HeldJob(row)
  term.held.add(taken)
  term.room.take(bytesOf(item))
  if (facts.options.onDisconnect === 'cancel') attendance.add(id, from)
  const { draft } = journal
  draft.live(id, writeLive(row), row.facts.after)
  draft.seq = row.seq
  if (facts.run !== undefined) {
    const index = runKey(facts.tenant, facts.run)
    draft.change('ZADD', index, row.seq, id)
    draft.change('PEXPIRE', index, RUN_JOBS_MS)
  }
  const key = keyOf(names, item)
  const { conversation } = facts.options
  const turn = conversation === undefined ? null : { conversation, tenant: facts.tenant, seq: row.seq, acceptedAtMs }
  if (!lasting || key !== '' || turn !== null)
    draft.taken.push({
      id,
      key,
      value: key === '' ? '' : keyValue(item),
      turn: turn && {
        ...turn,
        state: coordinator.state(id) ?? 'queued',
        place: coordinator.places([id], now).get(id) ?? null,
      },
    })
  if (follows) draft.follow(id, from)
  return { kind: 'taken', job: taken, ...(follows && { follows }), ...(standing.length > 0 && { standing }) }
}

/** It is stored, with its end. */
const REFUSED: Decision = { kind: 'accepted', reservation: null, standing: [] }

function isBarred({ barred }: Term, tenant: string, now: number): boolean {
  const until = barred.get(tenant)
  if (until === undefined) return false
  if (until > now) return true
  barred.delete(tenant)
  return false
}

/** A tenant may take so many times what is left, so that a flood of one always leaves room for others. */
const SHARE = 2

function lackOfRoom({ room, held }: Term, tenant: TenantId, bytes: number): SluiceError | null {
  const left = room.leftBytes
  if (bytes > left) return FULL
  return held.bytesOf(tenant) + bytes > SHARE * left ? TENANT_FULL : null
}

const TENANT_FULL = new SluiceError('storage_full', {
  message: "This tenant's work in line takes its share of Redis's memory: retry when some of it has run.",
})
const ERASING = new SluiceError('overloaded', { message: 'This tenant is being erased; retry later.' })

function shown(term: Term, { job, follows, standing }: Extract<Decided, { kind: 'taken' }>): SubmitAnswer {
  const { coordinator } = term
  const { id, attempts, row } = job
  const { seq, epoch, acceptedAtMs, facts } = row
  const { cached } = facts
  const place = coordinator.places([id], term.now()).get(id) ?? NOWHERE
  const state = coordinator.state(id) ?? 'queued'
  const more = {
    ...(follows && { follows }),
    ...(standing !== undefined && { standing }),
    ...(cached !== undefined && { cached }),
  }
  return { kind: 'accepted', id, seq, epoch, acceptedAtMs, state, attempts, place, ...more }
}

// ---------------------------------------------------------------- ends

function cancel(term: Term, { id, wait, from, n }: Cancel, known: KnownJobs): Answer {
  const { coordinator, held } = term
  const job = held.get(id)
  if (job === undefined) {
    // Within this very batch, if the lookup found it running
    const isThere = known.ended(id) !== undefined || known.wasHeld(id)
    return answer('cancel', isThere ? 'ended' : 'unknown')
  }
  if (wait) job.waiting.push({ from, n })
  const kind = coordinator.cancel(id, term.now())
  return wait ? LATER : answer('cancel', kind)
}

/** Does it run there? */
function holds({ held }: Term, { id, attempt, worker }: Pick<Finish, 'id' | 'attempt' | 'worker'>): boolean {
  const job = held.get(id)
  return job !== undefined && job.attempt === attempt && job.worker === worker
}

function finish(term: Term, command: Finish, known: KnownJobs): FinishAnswer {
  const { coordinator, held } = term
  const { id, attempt, worker, outcome } = command
  const job = held.get(id)
  if (job === undefined || !holds(term, command))
    return finishedBefore(term, { id, attempt, worker, kind: outcome.kind }, known)
  const now = term.now()
  job.isEmpty = attempt === 1 && command.head === 0
  const finished = coordinator.finish(id, attempt, unpackOutcome(outcome), now)
  if (finished.kind === 'again') {
    job.ceded = { attempt, worker }
    return { kind: 'again', inMs: Math.max(0, finished.notBeforeMono - now) }
  }
  if (finished.kind === 'ended') known.ending(id, { attempts: attempt, state: finished.state as EndState })
  return finished
}

const FENCED = { kind: 'fenced' } as const

/** What came of an attempt's end, which may be sent more than once: its answer was lost. */
export function finishedBefore(
  { held }: Pick<Term, 'held'>,
  { id, attempt, worker, kind }: Pick<WasFinished, 'id' | 'attempt' | 'worker' | 'kind'>,
  known: KnownJobs,
): FinishAnswer {
  const job = held.get(id)
  if (job !== undefined)
    return job.ceded?.attempt === attempt && job.ceded.worker === worker ? { kind: 'again', inMs: 0 } : FENCED
  const end = known.end(id)
  // It may have ended otherwise: given up as lost, while this attempt was done
  return end?.attempts === attempt && (kind === 'done') === (end.state === 'done')
    ? { kind: 'ended', state: end.state }
    : FENCED
}

// ---------------------------------------------------------------- operators

function pause(term: Term, verb: 'pause' | 'resume', selector: Selector): Answer {
  const { coordinator, journal, pauses } = term
  for (const each of laneNames(selector)) coordinator[verb](each, term.now())
  const { tenant, lane, model } = selector
  const canonical = JSON.stringify({ tenant, lane, model })
  if (verb === 'pause') pauses.set(canonical, JSON.parse(canonical) as Selector)
  else pauses.delete(canonical)
  journal.draft.change(verb === 'pause' ? 'SADD' : 'SREM', 'pauses', canonical)
  return NOTHING
}
