/** A job, submitted over this connection and followed by it. */
import type { SubmitFrame } from '../../../core/frames.ts'
import { formatCursor } from '../../../core/record.ts'
import type { Caller } from '../../caller/caller.ts'
import { type JsonBody, memberBytes } from '../../http/body.ts'
import { limitsView, placeView } from '../../read/views.ts'
import { jobDraft } from '../../submit/draft.ts'
import type { Peer } from '../peer.ts'

export function submit(peer: Peer, frame: SubmitFrame, caller: Caller, body: JsonBody): Promise<void> {
  const work = (): Promise<void> => submitIt(peer, frame, caller, body)
  return frame.follow === false ? work() : peer.following.withPlace(work)
}

async function submitIt(peer: Peer, frame: SubmitFrame, caller: Caller, body: JsonBody): Promise<void> {
  const { deps, submits, phase } = peer.context
  const refusal = phase.refusal()
  if (refusal !== null) throw refusal
  const { t: _t, id: _id, follow: _follow, ...asked } = body.value
  const origin = { requestId: peer.id, startedMono: deps.clock.monoMs(), uploadMs: 0, trace: null }
  const draft = submits.drafted(caller, origin, () =>
    jobDraft(deps, caller, asked, memberBytes(body, 'request'), null, origin),
  )
  const { kind, job, place, standing, owned } = await submits.one(caller, draft)
  peer.send({
    t: 'accepted',
    id: frame.id,
    job: job.id,
    cursor: formatCursor(job.epoch, 0),
    state: job.state,
    joined: kind === 'joined',
    queue: placeView(place),
    ...limitsView(standing),
    ...(job.cached !== undefined && { cache: job.cached }),
  })
  if (frame.follow === false) return
  if (owned === undefined) return peer.following.add(job, null, false, place)
  const now = await peer.following.whileHere(owned)
  if (peer.closing) return
  if (now.kind === 'refused') peer.refuse(now.error, { job: job.id })
  // It may have attached to it meanwhile
  else if (peer.following.get(now.job.id) === undefined) peer.following.add(now.job, null, false, null)
}
