/** What each command does: the machine decides, and the answer leaves in the commit of what was decided. */
import { SluiceError } from '../../../core/errors.ts'
import type { JobId, Place } from '../../../core/job.ts'
import type { PlanModel } from '../../../core/ports/coordinator.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import type { Finished } from '../../../core/ports/work.ts'
import { laneNames, scheduled } from '../../shared/scheduled.ts'
import { unavailable } from '../client/errors.ts'
import { type Cancel, type Command, type Finish, type Item, type Submit, unpackOutcome } from '../protocol/commands.ts'
import { packError } from '../protocol/errors.ts'
import type { Answers, SubmitAnswer } from '../protocol/messages.ts'
import { type LiveRow, writeLive } from '../protocol/rows.ts'
import { HeldJob } from './held.ts'
import { type KnownJobs, keyOf, keyValue } from './known.ts'
import { liveList } from './live-list.ts'
import { absorb } from './outcomes.ts'
import type { Term } from './parts.ts'

const NOWHERE: Place = { position: 0, tokensAhead: 0 }

/** Applies one command. What it throws, whoever asked is told. */
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
    case 'hello':
      term.greeting.push(command)
      return LATER
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
      else attendance.left(command.id, command.from, term.time.atMs(now) - (command.leftAtMs ?? term.time.atMs(now)))
      return NOTHING
    case 'pause':
    case 'resume':
      return pause(term, command.type, command.selector)
    case 'paused':
      return answer('paused', [...term.pauses.values()])
    case 'purge': {
      let purged = 0
      for (const each of laneNames(command.selector))
        purged += coordinator.purge(each, now, command.most - purged).length
      return answer('purge', purged)
    }
    case 'look':
      return { is: () => look(term, command.ids) }
    case 'list':
      return answer(
        'list',
        liveList(term.held, (id) => coordinator.state(id), command),
      )
    case 'bar':
      if (command.ms === 0) term.barred.delete(command.tenant)
      else term.barred.set(command.tenant, now + command.ms)
      return NOTHING
    case 'depth':
      return answer('depth', coordinator.depth())
    case 'deployments':
      return answer('deployments', coordinator.status(now))
    case 'configure':
      coordinator.configure(command.models.map(withoutLimits), now)
      return NOTHING
  }
}

/** JSON has no Infinity. */
const withoutLimits = (model: PlanModel): PlanModel => ({
  ...model,
  deployments: model.deployments.map((each) => ({ ...each, concurrent: each.concurrent ?? Infinity })),
})

// ---------------------------------------------------------------- submit

/** Shown when it is committed, and what was leased of it with it. */
type Decided = SubmitAnswer | { readonly kind: 'taken'; readonly job: HeldJob }

function submit(term: Term, command: Submit, known: KnownJobs): Answer {
  const isLate = term.time.atMs(term.now()) > command.untilMs
  const results = command.items.map((item): Decided => {
    const there = term.held.get(item.id)
    if (there !== undefined) return { kind: 'taken', job: there }
    const ended = command.re ? known.ended(item.id) : undefined
    // Its answer was lost: it must not start anew
    if (ended !== undefined) return { kind: 'joined', id: item.id }
    if (isLate) return { kind: 'refused', error: packError(unavailable()) }
    return take(term, command, item, known)
  })
  return { is: () => results.map((result) => (result.kind === 'taken' ? shown(term, result.job) : result)) }
}

function take(term: Term, { from }: Submit, item: Item, known: KnownJobs): Decided {
  const { coordinator, names, journal, held, attendance, won } = term
  const { id, facts, bodyBytes, isRetry } = item
  const now = term.now()
  if (isBarred(term, facts.tenant, now)) return { kind: 'refused', error: packError(ERASING) }
  const joinsFromMs = term.time.atMs(now) - term.rules.joinAfterEndMs
  const isKnown = known.of(item, (endedAtMs) => endedAtMs >= joinsFromMs && endedAtMs < term.startedAtMs)
  const job = scheduled(id, { ...facts, body: NO_BODY, isRetry }, bodyBytes, now)
  const decision = coordinator.submit(job, now, isKnown, isRetry)
  if (decision.kind === 'refused') return { kind: 'refused', error: packError(decision.error) }
  if (decision.kind === 'joined') return { kind: 'joined', id: decision.id }
  known.taken(item)
  const acceptedAtMs = Math.floor(term.time.atMs(now))
  const row: LiveRow = { id, seq: term.seq(), acceptedAtMs, epoch: won.epoch, from, bodyBytes, facts }
  const taken = new HeldJob(row)
  held.add(taken)
  if (facts.options.onDisconnect === 'cancel') attendance.add(id, from)
  const { draft } = journal
  draft.live(id, writeLive(row))
  const key = keyOf(names, item)
  const { conversation } = facts.options
  draft.taken.push({
    id,
    key,
    value: key === '' ? '' : keyValue(item),
    turn:
      conversation === undefined
        ? null
        : {
            conversation,
            tenant: facts.tenant,
            seq: row.seq,
            acceptedAtMs,
            state: coordinator.state(id) ?? 'queued',
            place: coordinator.places([id], now).get(id) ?? null,
          },
  })
  return { kind: 'taken', job: taken }
}

function isBarred({ barred }: Term, tenant: string, now: number): boolean {
  const until = barred.get(tenant)
  if (until === undefined) return false
  if (until > now) return true
  barred.delete(tenant)
  return false
}

const NO_BODY = new Uint8Array(0)
const ERASING = new SluiceError('overloaded', { message: 'This tenant is being erased; retry later.' })

function shown(term: Term, { id, attempts, row }: HeldJob): SubmitAnswer {
  const { coordinator } = term
  const { seq, epoch, acceptedAtMs } = row
  const place = coordinator.places([id], term.now()).get(id) ?? NOWHERE
  const state = coordinator.state(id) ?? 'queued'
  return { kind: 'accepted', id, seq, epoch, acceptedAtMs, state, attempts, place }
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

function finish(term: Term, command: Finish, known: KnownJobs): Answers['finish'] {
  const { coordinator, held } = term
  const { id, attempt, worker, re, outcome } = command
  const job = held.get(id)
  if (job === undefined || job.attempt !== attempt || job.worker !== worker)
    return re ? before(command, job, known) : FENCED
  const now = term.now()
  return told(coordinator.finish(id, attempt, unpackOutcome(outcome), now), now)
}

const FENCED = { kind: 'fenced' } as const
const told = (finished: Finished, now: number): Answers['finish'] =>
  finished.kind === 'again' ? { kind: 'again', inMs: Math.max(0, finished.notBeforeMono - now) } : finished

/** What came of it when it was sent first, and its answer was lost. */
function before({ id, attempt }: Finish, job: HeldJob | undefined, known: KnownJobs): Answers['finish'] {
  if (job !== undefined)
    return job.attempt === 0 && job.tally.attempts === attempt ? { kind: 'again', inMs: 0 } : FENCED
  const ended = known.ended(id)
  if (ended === undefined || ended === 'damaged' || ended.attempts !== attempt) return FENCED
  return { kind: 'ended', state: ended.end.state }
}

// ---------------------------------------------------------------- operators, and looks

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

function look(term: Term, ids: readonly JobId[]): Answers['look'] {
  const { coordinator, held } = term
  const places = coordinator.places(ids, term.now())
  return ids.flatMap((id) => {
    const job = held.get(id)
    const state = coordinator.state(id)
    return job === undefined || state === null
      ? []
      : [{ id, state, attempts: job.attempts, place: places.get(id) ?? null }]
  })
}
