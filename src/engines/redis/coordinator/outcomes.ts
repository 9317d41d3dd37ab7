/** What the machine decided, into the commit: changes are stored, and workers told, in the order of decision. */

import { failureOf } from '../../../core/facts.ts'
import type { Change, Notice } from '../../../core/ports/coordinator.ts'
import { type End, endRecord, toText } from '../../../core/record.ts'
import { lostFact } from '../../shared/lost.ts'
import { errorOf } from '../../shared/scheduled.ts'
import type { LeaseNote } from '../protocol/messages.ts'
import { writeEnd, writeLive } from '../protocol/rows.ts'
import { FILED_LATER, JOINED_BY_WINDOW, layoutOf, ROWS_BESIDE } from '../protocol/version.ts'
import { type HeldJob, processOf } from './held.ts'
import { JOIN_WINDOW_MS, joinDigest, joinValue, joinWindow, keyOf } from './known.ts'
import type { Term } from './parts.ts'

type Of<T extends Change['type']> = Extract<Change, { type: T }>

/**
 * After each call of the machine. `split`: may what follows be in a commit of its own? Not where attempts are ended:
 * the levels that they used are told as they are after all of them.
 */
export function absorb(term: Term, split = true): void {
  const { coordinator, held, journal, time } = term
  const changes = coordinator.changes()
  const mayBeSplit = split && !changes.some(({ type }) => type === 'used')
  for (const change of changes) {
    if (change.type === 'used') {
      const { record, isBeside } = change
      const job = held.get(change.id)
      job?.spent.add(record)
      if (job !== undefined && record.end === 'lost' && !isBeside) {
        const fact = lostFact(job.about(), record)
        journal.draft.afterwards(() => term.emit(fact))
      }
      journal.draft.used.add(change.record, time.atMs(term.now()), term.rules.usageSums)
      continue
    }
    const job = held.get(change.id)
    if (job === undefined) continue
    switch (change.type) {
      case 'accepted':
        break // by its submit, which has the facts
      case 'canceling':
        job.canceling = true
        journal.draft.run(job.id, job.run())
        break
      case 'leased':
        leased(term, job, change)
        break
      case 'hedged':
        if (job.attempt !== change.attempt) break
        job.claim = change.claim
        journal.draft.run(job.id, job.run())
        break
      case 'returned':
        returned(term, job, change)
        break
      case 'ended':
        ended(term, job, change)
    }
    if (mayBeSplit) journal.split()
  }
  for (const notice of coordinator.notices()) tell(term, notice)
}

function tell({ emit, journal }: Term, notice: Notice): void {
  if (notice.type === 'cooling') journal.draft.afterwards(() => emit({ ...notice, type: 'deployment-cooled' }))
  else if (notice.type === 'checked') journal.draft.afterwards(() => emit({ ...notice, type: 'deployment-checked' }))
  else if (notice.type === 'tripped') journal.draft.afterwards(() => emit({ ...notice, type: 'velocity-tripped' }))
  else journal.draft.tell(processOf(notice.worker), notice)
}

function leased(term: Term, job: HeldJob, change: Of<'leased'>): void {
  const { id, worker, attempt, crashes, claim, sinceAcceptedMs, queuedMs, turnMs, ttftMs } = change
  const { journal, emit, clock, held, time } = term
  const now = clock.monoMs()
  held.lease(job, change, now, time.atMs(now))
  const { draft } = journal
  draft.run(id, job.run())
  const note = noteOf(term, job, { crashes, sinceAcceptedMs, queuedMs, turnMs, ttftMs })
  const { deployment } = claim
  const times = { queuedMs, turnMs, sinceAcceptedMs }
  const fact = { ...job.about(), type: 'job-leased', attempt, deployment, ...times } as const
  draft.lease(processOf(worker), note, () => emit(fact))
}

type Times = Pick<LeaseNote, 'crashes' | 'sinceAcceptedMs' | 'queuedMs' | 'turnMs' | 'ttftMs'>

/** A lease, as its worker is told. */
const noteOf = ({ won }: Term, { id, row, worker, attempt, claim }: HeldJob, times: Times): LeaseNote => ({
  worker: worker!,
  id,
  ...(layoutOf(worker!) < ROWS_BESIDE && { row: writeLive(row) }),
  bodyBytes: row.bodyBytes,
  attempt,
  claim: claim!,
  ...times,
  epoch: won.epoch,
})

/** Its worker does not seem to know of it. */
export function tellAgain(term: Term, job: HeldJob, now: number): void {
  const { crashes, ranMs, turnMs, ttftMs } = job.tally
  const sinceAcceptedMs = Math.max(0, term.time.atMs(now) - job.row.acceptedAtMs)
  const queuedMs = Math.max(0, sinceAcceptedMs - ranMs - (now - job.leasedMono))
  const note = noteOf(term, job, {
    crashes,
    sinceAcceptedMs,
    queuedMs,
    ...(turnMs !== undefined && { turnMs }),
    ttftMs,
  })
  term.journal.draft.lease(processOf(job.worker!), { ...note, again: true })
}

function returned(term: Term, job: HeldJob, { id, notBeforeMono, tally, failedAt }: Of<'returned'>): void {
  const { journal, emit, clock, held } = term
  const { draft } = journal
  draft.unlease(id, tally.attempts)
  held.giveBack(job)
  job.tally = tally
  job.failedAt = failedAt
  const now = clock.monoMs()
  job.notBeforeAtMs = notBeforeMono > now ? Math.ceil(term.time.atMs(notBeforeMono)) : 0
  draft.run(id, job.run())
  const delayMs = Math.max(0, notBeforeMono - now)
  const fact = { ...job.about(), type: 'job-returned', attempt: tally.attempts, delayMs } as const
  draft.afterwards(() => emit(fact))
}

/** Its record, its row and its turn, in one commit; whoever waited for it is told in that very commit. */
function ended(term: Term, job: HeldJob, { id, state, error, usage, timing, cut, deployment }: Of<'ended'>): void {
  const { journal, rules, names, held, attendance, emit, clock } = term
  const { draft } = journal
  const { facts, seq } = job.row
  const measured = { ...(usage && { usage }), ...(timing && { timing }) }
  const end: End = { state, ...(error && errorOf(error)), ...measured, ...(cut && { cut }) }
  const endedMono = clock.monoMs()
  const endedAtMs = Math.floor(term.time.atMs(endedMono))
  draft.unlease(id, job.attempt)
  const join = state === 'done' ? joinDigest(facts) : ''
  const isJoined = join !== '' && term.layout >= JOINED_BY_WINDOW
  draft.filesLater = term.layout >= FILED_LATER
  if (isJoined)
    draft.joined(joinWindow(endedAtMs), rules.joinAfterEndMs + JOIN_WINDOW_MS, join, joinValue(id, endedAtMs))
  draft.over.push({
    id,
    record: toText(endRecord(end)),
    tenant: facts.tenant,
    seq,
    state,
    endedAtMs,
    text: writeEnd({ attempts: job.attempts, end, endedAtMs }),
    bodyBytes: job.row.bodyBytes,
    keeps: rules.keepMs(facts.tenant) !== 0,
    ...(rules.unreadMs !== undefined && { unreadMs: rules.unreadMs }),
    key: keyOf(names, job.row),
    join: isJoined ? '' : join,
    joinMs: rules.joinAfterEndMs,
    conversation: facts.options.conversation ?? '',
    attempt: job.attempt,
    isEmpty: job.attempts === 0 || job.isEmpty,
  })
  for (const { from, n } of job.waiting) draft.tell(from, { type: 'answer', n, is: 'ended' })
  held.delete(job)
  attendance.delete(id)
  const fact = {
    ...job.about(),
    type: 'job-ended',
    deployment,
    state,
    ...failureOf(error),
    ...measured,
    ...job.spent.told,
  } as const
  draft.afterwards(() => emit(fact))
}
