/** The first frame: who it is, and what it followed before. */
import { SluiceError } from '../../../core/errors.ts'
import type { HelloFrame } from '../../../core/frames.ts'
import { tooManyJobs } from '../following.ts'
import { credentialOf } from '../frames.ts'
import type { Peer } from '../peer.ts'
import { attach } from './attach.ts'

/** Rejects with invalid_request for a second one; a caller that is not admitted gets the error, and is closed. */
export async function hello(peer: Peer, frame: HelloFrame): Promise<void> {
  const { auth, deps } = peer.context
  const options = deps.options.socket
  if (peer.greeted) throw new SluiceError('invalid_request', { message: 'A connection takes only one hello.' })
  if (peer.caller !== null && frame.auth !== undefined)
    throw new SluiceError('invalid_request', {
      param: 'auth',
      message: 'This connection was authenticated by its upgrade request: leave "auth" out.',
    })
  peer.greeted = true
  try {
    if (peer.caller === null) {
      const caller = await auth.admit(credentialOf(frame.auth), peer.from)
      if (peer.closing) return
      peer.enter(caller, frame.client ?? null)
    }
    if ((frame.jobs?.length ?? 0) > options.maxJobs) throw tooManyJobs(options.maxJobs)
  } catch (thrown) {
    return peer.refuseEntry(thrown, {})
  }
  const { caller } = peer
  if (caller === null) return
  peer.window = frame.window ?? Infinity
  peer.send({
    t: 'welcome',
    conn: peer.id,
    heartbeat_ms: options.heartbeatMs,
    max_message_bytes: options.maxMessageBytes,
    max_jobs: options.maxJobs,
    max_messages_per_second: options.maxMessagesPerSecond,
  })
  if (caller.session !== null) peer.renewToken()
  for (const { job, cursor } of frame.jobs ?? [])
    attach(peer, { t: 'attach', job, ...(cursor == null ? {} : { cursor }) }, caller).catch((error: unknown) =>
      peer.refuse(error, { job }),
    )
}
