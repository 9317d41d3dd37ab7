/** What each frame from a client does, once it is checked and its sender is known: PROTOCOL.md section 6. */
import { SluiceError } from '../../../core/errors.ts'
import type { CancelFrame, ClientFrame } from '../../../core/frames.ts'
import { requireOwnJob, requireScope } from '../../caller/access.ts'
import { type Caller, canSee } from '../../caller/caller.ts'
import { FRAME_SCOPES } from '../../caller/scopes.ts'
import type { JsonBody } from '../../http/body.ts'
import { withdraw } from '../../read/jobs.ts'
import type { Peer } from '../peer.ts'
import { attach } from './attach.ts'
import { submit } from './submit.ts'

/** What it throws, or rejects with, becomes the error of the frame. */
type Verb<F> = (peer: Peer, frame: F, caller: Caller, body: JsonBody) => void | Promise<void>
type Verbs = { readonly [T in Exclude<ClientFrame['t'], 'hello'>]: Verb<Extract<ClientFrame, { readonly t: T }>> }

const VERBS: Verbs = {
  submit,
  attach,
  cancel,
  detach(peer, { id, job }) {
    peer.following.drop(job, false)
    if (id !== undefined) peer.send({ t: 'ok', id, job })
  },
  credit(peer, { job, bytes }) {
    peer.following.get(job)?.reader.credit(bytes)
  },
  report(peer, { job, ttft_ms: ttftMs }) {
    const followed = peer.following.get(job)
    if (followed !== undefined) peer.context.noteTtft(followed.job, ttftMs)
  },
  watch(peer, { id, conversation }) {
    peer.watches.watch(conversation, id)
  },
  unwatch(peer, { id, conversation }) {
    peer.watches.unwatch(conversation)
    if (id !== undefined) peer.send({ t: 'ok', id, conversation })
  },
  ping(peer) {
    peer.send({ t: 'pong' })
  },
}

/** Throws if the frame is refused at once; a later refusal is reported by the verb. */
export function perform(
  peer: Peer,
  frame: Exclude<ClientFrame, { readonly t: 'hello' }>,
  caller: Caller,
  body: JsonBody,
): void {
  const scope = FRAME_SCOPES[frame.t]
  if (scope !== null) requireScope(peer.context.deps.keys, caller.key, scope)
  const verb = VERBS[frame.t] as Verb<ClientFrame>
  verb(peer, frame, caller, body)?.catch((error: unknown) =>
    peer.refuse(error, frame as { readonly id?: string; readonly job?: string }),
  )
}

async function cancel(peer: Peer, { id: replyTo, job: id }: CancelFrame, caller: Caller): Promise<void> {
  const { jobs, keys } = peer.context.deps
  const job = await jobs.get(id)
  if (job === null) {
    await withdraw(peer.context.deps, caller, id)
    if (replyTo !== undefined) peer.send({ t: 'ok', id: replyTo, job: id, state: 'canceled' })
    return
  }
  if (!canSee(caller, job)) throw new SluiceError('job_not_found')
  requireOwnJob(keys, caller, job)
  const { kind } = await jobs.cancel(id)
  if (replyTo !== undefined && kind !== 'unknown') peer.send({ t: 'ok', id: replyTo, job: id, state: kind })
}
