/** Waiting that an abort ends. */

/** Waits for `done` of what `begin` began, or the signal's abort; then what was begun is canceled. */
export function until(signal: AbortSignal, begin: (done: () => void) => () => void): Promise<void> {
  return new Promise((done) => {
    let isOver = false
    let cancel: (() => void) | null = null
    const over = (): void => {
      if (isOver) return
      isOver = true
      signal.removeEventListener('abort', over)
      cancel?.()
      done()
    }
    signal.addEventListener('abort', over)
    cancel = begin(over)
    if (isOver) cancel()
    else if (signal.aborted) over()
  })
}

/** As the promise; rejects at the signal's abort. */
export async function within<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  await until(signal, (done) => {
    promise.then(done, done)
    return () => {}
  })
  signal.throwIfAborted()
  return promise
}
