/** The page around us, in a browser; null in Node. The few types it needs are its own: servers have no DOM types. */
interface Page {
  readonly visibilityState: 'visible' | 'hidden'
  addEventListener(type: 'visibilitychange', fn: () => void): void
  removeEventListener(type: 'visibilitychange', fn: () => void): void
}

interface Browser {
  readonly document?: Page
  addEventListener?(type: 'online' | 'offline', fn: () => void): void
  removeEventListener?(type: 'online' | 'offline', fn: () => void): void
}

const browser = globalThis as unknown as Browser
export const isPage = browser.document !== undefined

/** `onBack`: the network is back, or the page is visible again. `onGone`: the browser reports that it is offline. */
export function watchNetwork(onBack: () => void, onGone: () => void): () => void {
  const { document } = browser
  if (document === undefined) return () => {}
  const shown = (): void => {
    if (document.visibilityState === 'visible') onBack()
  }
  browser.addEventListener?.('online', onBack)
  browser.addEventListener?.('offline', onGone)
  document.addEventListener('visibilitychange', shown)
  return () => {
    browser.removeEventListener?.('online', onBack)
    browser.removeEventListener?.('offline', onGone)
    document.removeEventListener('visibilitychange', shown)
  }
}
