/** React hooks over a client: its connection, its conversations, its jobs. */
import { useEffect, useMemo, useRef, useSyncExternalStore } from 'react'
import type { JobRequest } from '../../src/core/frames.ts'
import type { Sluice } from './connect.ts'
import type { Job } from './job.ts'
import {
  type ConversationState,
  conversationStore,
  type JobView,
  jobStore,
  NO_JOB,
  NO_TURNS,
  type Store,
} from './stores.ts'
import type { State } from './transport.ts'
import type { ChatMessage, Turn } from './turn.ts'

export type { ConversationState, JobView } from './stores.ts'

export interface SluiceConversation extends ConversationState {
  /** Returns at once: a message sent during an answer waits in line. */
  send(content: string | readonly ChatMessage[], options?: Partial<JobRequest>): Turn
  /** Ends an answer on the server, or withdraws a message that waits. Without a turn: what is under way, or next. */
  stop(turn?: Turn): Promise<void>
  /** Sends the same messages again, as a new turn. */
  retry(turn: Turn): Turn
  /** Reads the page of turns before the first. */
  older(): Promise<void>
  rename(name: string): Promise<void>
}

/**
 * A conversation as this page and all others change it. `request`: members of each request besides its messages,
 * `{ model: 'chat' }`; the newest counts. Components that show the same one share it; when none does any more, it is no
 * longer watched, and its jobs go on.
 */
export function useSluiceConversation(
  sluice: Sluice,
  id: string,
  request: Readonly<Record<string, unknown>>,
): SluiceConversation {
  const store = useMemo(() => conversationStore(sluice, id), [sluice, id])
  const state = useStore(store, NO_TURNS)
  const newest = useRef(request)
  useEffect(() => {
    newest.current = request
  })
  const acts = useMemo(() => {
    const send = (content: string | readonly ChatMessage[], options: Partial<JobRequest> = {}): Turn =>
      store.send(content, { ...options, request: { ...newest.current, ...options.request } })
    return {
      send,
      stop: store.stop,
      retry: (turn: Turn) => send(turn.messages),
      older: store.older,
      rename: store.rename,
    }
  }, [store])
  return useMemo(() => ({ ...state, ...acts }), [state, acts])
}

/** A job that was submitted or attached to here, followed to its end; it goes on when nobody shows it. */
export function useSluiceJob(job: Job): JobView {
  return useStore(
    useMemo(() => jobStore(job), [job]),
    NO_JOB,
  )
}

/** The state of the connection: `connecting`, `open`, `waiting` (before the next try), `closed`. */
export const useSluiceState = (sluice: Sluice): State =>
  useSyncExternalStore(
    sluice.subscribe,
    () => sluice.state,
    () => 'connecting',
  )

/** `elsewhere`: where nothing is live, on a server. */
const useStore = <T>(store: Store<T>, elsewhere: T): T =>
  useSyncExternalStore(
    store.subscribe,
    () => store.value,
    () => elsewhere,
  )
