/** The page around us, in a browser; null in Node. Said in few types of our own, so that servers need no DOM's. */
interface Page {
  readonly visibilityState: 'visible' | 'hidden'
  addEventListener(type: 'visibilitychange', fn: () => void): void
  removeEventListener(type: 'visibilitychange', fn: () => void): void
}

interface Browser {
  readonly document?: Page
  addEventListener?(type: 'online', fn: () => void): void
  removeEventListener?(type: 'online', fn: () => void): void
}

const browser = globalThis as unknown as Browser
export const isPage = browser.document !== undefined

/** Calls `fn` when the network is back, or the page is looked at again. Returns its stop. */
export function onReturn(fn: () => void): () => void {
  const { document } = browser
  if (document === undefined) return () => {}
  const shown = (): void => {
    if (document.visibilityState === 'visible') fn()
  }
  browser.addEventListener?.('online', fn)
  document.addEventListener('visibilitychange', shown)
  return () => {
    browser.removeEventListener?.('online', fn)
    document.removeEventListener('visibilitychange', shown)
  }
}
