/** What a page reads from the admin API, where it isn't live: old data stays until there is new. */
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, get } from './api.ts'
import { CopyButton } from './parts/button.tsx'

export interface Loaded<T> {
  /** The last answer; null: there was none yet. */
  readonly data: T | null
  /** Why the last try failed; null: it did not. */
  readonly error: ApiError | null
  /** For a second or more: then old data is dimmed. */
  readonly isSlow: boolean
  /** Resolves when there is an answer. */
  readonly reload: () => Promise<void>
}

const SLOW_MS = 1_000

/** `path` null: nothing is asked. `everyMs`: asked again so often, while the page can be seen. */
export function useLoad<T>(path: string | null, everyMs: number | null = null): Loaded<T> {
  const [state, setState] = useState<{ path: string | null; data: T | null; error: ApiError | null }>({
    path,
    data: null,
    error: null,
  })
  const [isSlow, setSlow] = useState(false)
  const ask = useRef<() => Promise<void>>(async () => {})
  useEffect(() => {
    if (path === null) return
    let isOver = false
    let runs = 0
    ask.current = async () => {
      const mine = ++runs
      const slow = setTimeout(() => setSlow(true), SLOW_MS)
      try {
        const data = await get<T>(path)
        if (!isOver && mine === runs) setState({ path, data, error: null })
      } catch (thrown) {
        if (isOver || mine !== runs) return
        const error = thrown instanceof ApiError ? thrown : new ApiError(0, 'unknown', String(thrown), null)
        setState((before) => ({ path, data: before.path === path ? before.data : null, error }))
      } finally {
        clearTimeout(slow)
        if (!isOver) setSlow(false)
      }
    }
    void ask.current()
    const again = (): void => void (document.visibilityState === 'visible' && ask.current())
    const timer = everyMs === null ? undefined : setInterval(again, everyMs)
    return () => {
      isOver = true
      clearInterval(timer)
    }
  }, [path, everyMs])
  const isOwn = state.path === path
  return {
    data: isOwn ? state.data : null,
    error: isOwn ? state.error : null,
    isSlow,
    reload: () => ask.current(),
  }
}

/** Its words, the request's id, and a way to pass both on. */
export const Trouble = ({ error, children }: { readonly error: ApiError; readonly children?: ComponentChildren }) => (
  <p class="trouble" role="alert">
    <span>
      {error.message}
      {error.requestId !== null && <span class="faint"> Request {error.requestId}.</span>}
    </span>
    {children}
    <CopyButton text={`${error.status} ${error.code}: ${error.message} (request ${error.requestId ?? 'unknown'})`} />
  </p>
)
