/** Following a job that is there already. */
import { SluiceError } from '../../../core/errors.ts'
import type { AttachFrame } from '../../../core/frames.ts'
import type { Job } from '../../../core/job.ts'
import { type Cursor, formatCursor, isOfEpoch, parseCursor } from '../../../core/record.ts'
import { requireScope, unknownJob } from '../../caller/access.ts'
import { type Caller, canSee } from '../../caller/caller.ts'
import { placeView } from '../../read/views.ts'
import type { Peer } from '../peer.ts'

export async function attach(peer: Peer, frame: AttachFrame, caller: Caller): Promise<void> {
  requireScope(peer.context.deps.keys, caller.key, 'read')
  const work = (): Promise<void> => attachTo(peer, frame, caller)
  return peer.following.get(frame.job) === undefined ? peer.following.withPlace(work) : work()
}

/** For a job that is followed already, only a cursor has an effect: it is read again from there. */
async function attachTo(
  peer: Peer,
  { id: replyTo, job: id, cursor: text }: AttachFrame,
  caller: Caller,
): Promise<void> {
  const { following } = peer
  const { jobs, log } = peer.context.deps
  const cursor = text === undefined ? null : parseCursor(text)
  if (text !== undefined && cursor === null) throw new SluiceError('cursor_invalid')
  const job = await jobs.get(id)
  if (job === null || !canSee(caller, job)) {
    const unknown = unknownJob(jobs, caller, id)
    if (job !== null || unknown.code === 'job_not_found') throw unknown
    return attachOnceOwned(peer, replyTo, { id, state: 'queued', epoch: 0 }, cursor)
  }
  if (job.epoch === 0) return attachOnceOwned(peer, replyTo, job, cursor)
  const head = await log.head(id)
  if (head === null) throw new SluiceError('job_gone')
  if (cursor !== null && isOfEpoch(cursor, job.epoch) && cursor.n > head.head) throw new SluiceError('cursor_ahead')
  // One that runs has none. Who resumes it does not wait for the coordinator, which may be a moment away
  const place = job.state === 'leased' ? null : ((await jobs.places([id])).get(id) ?? null)
  if (peer.closing) return
  const isFollowed = following.get(id) !== undefined
  if (!isFollowed) following.checkReaders(id)
  peer.send({
    t: 'attached',
    ...(replyTo === undefined ? {} : { id: replyTo }),
    job: id,
    state: job.state,
    cursor: formatCursor(job.epoch, head.head),
    queue: placeView(place),
  })
  if (!isFollowed || cursor !== null) following.add(job, cursor, true, place)
}

/** It is with its pool's broker: followed once the coordinator owns it. */
async function attachOnceOwned(
  peer: Peer,
  replyTo: string | undefined,
  { id, state, epoch }: Pick<Job, 'id' | 'state' | 'epoch'>,
  cursor: Cursor | null,
): Promise<void> {
  const { following, context } = peer
  peer.send({
    t: 'attached',
    ...(replyTo === undefined ? {} : { id: replyTo }),
    job: id,
    state,
    cursor: formatCursor(epoch, 0),
    queue: null,
  })
  const { jobs } = context.deps
  const owned = await following.whileHere(async (signal) => (await jobs.arrived?.(id, Infinity, signal)) ?? null)
  if (peer.closing) return
  if (owned === null) peer.refuse(new SluiceError('not_arrived'), { job: id })
  else if (following.get(id) === undefined || cursor !== null) following.add(owned, cursor, true, null)
}
