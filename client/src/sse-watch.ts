/** Conversations watched over server-sent events: PROTOCOL.md section 6, "Watching a conversation". */
import type { NewsFrame, WatchingFrame } from '../../src/core/frames.ts'
import { SluiceError } from './errors.ts'
import { createPlaces } from './places.ts'
import type { Session } from './session.ts'
import { readEvents } from './sse-read.ts'
import type { Watcher } from './transport.ts'

/** Where there are more conversations than connections, they take turns of this length. */
const TURN_MS = 5_000

export interface SseWatches {
  add(conversation: string, watcher: Watcher): void
  remove(conversation: string, watcher: Watcher): void
  /** Breaks off all streams; they are reopened unless `isOver`. */
  abort(): void
}

interface Watch {
  readonly watchers: Set<Watcher>
  request: AbortController
}

/** `most`: streams at once. */
export function createSseWatches(
  session: Session,
  most: number,
  on: {
    readonly isOver: () => boolean
    readonly onOpen: () => void
    /** True: it is not tried again. */
    readonly onFailed: (error: SluiceError, failures: number) => Promise<boolean>
  },
): SseWatches {
  const watches = new Map<string, Watch>()
  const places = createPlaces(most)

  async function follow(conversation: string, watch: Watch): Promise<void> {
    const isWanted = (): boolean => watches.get(conversation) === watch && !on.isOver()
    for (let failures = 0; isWanted(); ) {
      try {
        await places.take(async () => {
          if (isWanted())
            await read(conversation, watch, () => {
              failures = 0
            })
        })
      } catch (thrown) {
        if (!isWanted()) return
        if (await on.onFailed(SluiceError.from(thrown), failures++)) watches.delete(conversation)
      }
    }
  }

  async function read(conversation: string, watch: Watch, opened: () => void): Promise<void> {
    watch.request = new AbortController()
    let turnIsOver = false
    const turn = setInterval(() => {
      if (!places.wanted) return
      turnIsOver = true
      watch.request.abort()
    }, TURN_MS)
    try {
      await readEvents(session, {
        path: `/v1/conversations?id=${encodeURIComponent(conversation)}`,
        request: watch.request,
        onOpen() {
          opened()
          on.onOpen()
        },
        onEvent({ event, data }) {
          const frame = { t: event, ...JSON.parse(data) } as WatchingFrame | NewsFrame
          for (const watcher of [...watch.watchers]) watcher(frame)
        },
      })
    } catch (error) {
      if (!turnIsOver) throw error
    } finally {
      clearInterval(turn)
    }
  }

  return {
    add(conversation, watcher) {
      const known = watches.get(conversation)
      if (known !== undefined) {
        known.watchers.add(watcher)
        known.request.abort() // all its watchers are sent its state
        return
      }
      const watch: Watch = { watchers: new Set([watcher]), request: new AbortController() }
      watches.set(conversation, watch)
      void follow(conversation, watch)
    },
    remove(conversation, watcher) {
      const watch = watches.get(conversation)
      if (!watch?.watchers.delete(watcher) || watch.watchers.size > 0) return
      watches.delete(conversation)
      watch.request.abort()
    },
    abort() {
      for (const { request } of watches.values()) request.abort()
    },
  }
}
