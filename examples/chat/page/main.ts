/** The page: one connection, two conversations. */

import { connect, type SluiceError, type State } from '@sluice/client'
import { createColumn } from './column.ts'
import { cutConnection } from './cut.ts' // before the client opens its socket
import { createThread, newKey, type Thread } from './thread.ts'

const CATCH_UP_MS = 2_000
const IDS = 'conversations'

const setting = (name: string): string => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)!.content
const url = setting('sluice-url')
const status = document.querySelector<HTMLElement>('#status')!
const problem = document.querySelector<HTMLElement>('#problem')!
const cut = document.querySelector<HTMLButtonElement>('#cut')!

let wasOpen = false
const sluice = connect({
  url,
  async ticket() {
    const response = await fetch('/ticket', { method: 'POST' })
    const { ticket, error } = await response.json()
    if (!response.ok) throw new Error(error.message)
    return ticket
  },
  onState: showState,
  onError: (error) => void explain(error),
})

const threads = conversationIds().map((id, i): Thread => {
  const column = createColumn(document.querySelector<HTMLElement>(`#column-${i + 1}`)!, () => thread)
  const thread = createThread(sluice, id, setting('sluice-model'), () => column.refresh())
  return thread
})

/** What another tab said, or this one before it was loaded again. */
async function catchUp(): Promise<void> {
  try {
    await Promise.all(threads.map((thread) => thread.catchUp()))
  } catch (error) {
    void explain(error as SluiceError)
  }
}
void catchUp()
setInterval(() => {
  if (document.visibilityState === 'visible') void catchUp()
}, CATCH_UP_MS)
addEventListener('focus', () => void catchUp())

// ---------------------------------------------------------------- what is seen of the connection

function showState(state: State): void {
  wasOpen ||= state === 'open'
  if (state === 'open') problem.hidden = true
  const [name, text] =
    state === 'open'
      ? ['open', sluice.transport === 'sse' ? 'Connected, without WebSockets' : 'Connected']
      : state === 'closed'
        ? ['closed', 'Disconnected']
        : !navigator.onLine
          ? ['closed', 'Offline']
          : ['waiting', wasOpen ? 'Reconnecting…' : 'Connecting…']
  status.dataset['state'] = name
  status.textContent = text
  cut.disabled = state !== 'open' || sluice.transport === 'sse'
}
addEventListener('online', () => showState(sluice.state))
addEventListener('offline', () => showState(sluice.state))
cut.addEventListener('click', cutConnection)

/** A lost connection comes back, and the state says so; what does not come back by itself is told. */
async function explain(error: SluiceError): Promise<void> {
  if (error.retryable && wasOpen) return
  const text =
    error.code !== 'connection_lost'
      ? error.message
      : (await isThere())
        ? `Sluice refuses pages of ${origin}: start it with --http-cors-origins ${origin}`
        : `Sluice can't be reached at ${url}.`
  if (error.retryable && sluice.state === 'open') return // it came back meanwhile
  problem.textContent = text
  problem.hidden = false
}

/** A refused origin looks like no server at all; but one that is away does not answer this either. */
const isThere = (): Promise<boolean> =>
  fetch(`${url}/readyz`, { mode: 'no-cors', cache: 'no-store' }).then(
    () => true,
    () => false,
  )

// ---------------------------------------------------------------- side by side, or one at a time

for (const [i, tab] of document.querySelectorAll<HTMLButtonElement>('nav button').entries())
  tab.addEventListener('click', () => {
    document.body.dataset['shown'] = String(i + 1)
    for (const [j, other] of document.querySelectorAll('nav button').entries()) other.ariaPressed = String(i === j)
  })

/** The same in every tab of this browser. */
function conversationIds(): readonly string[] {
  const known = localStorage.getItem(IDS)
  if (known !== null) return JSON.parse(known) as string[]
  const ids = [newKey(), newKey()]
  localStorage.setItem(IDS, JSON.stringify(ids))
  return ids
}
