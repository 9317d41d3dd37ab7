/** What is seen of the connection; and what is wrong, if it does not come back by itself. */
import type { Sluice, SluiceError, State } from '@sluice/client'

/** A first connection that takes longer than this is looked into. */
const PATIENCE_MS = 1_500

const find = <E extends HTMLElement>(selector: string): E => document.querySelector<E>(selector)!

export interface Status {
  onState(state: State): void
  onError(error: SluiceError): void
}

/** `sluice`: null until it is there; the first news may come before. */
export function createStatus(url: string, sluice: () => Sluice | null): Status {
  const [status, beacon, problem] = [find('#status'), find('#beacon'), find('#problem')]
  let state: State = 'connecting'
  let wasOpen = false
  let looking = false

  function show(): void {
    const [name, text] =
      state === 'open'
        ? ['open', sluice()?.transport === 'sse' ? 'Connected, without WebSockets' : 'Connected']
        : state === 'closed'
          ? ['closed', 'Disconnected']
          : !navigator.onLine
            ? ['closed', 'Offline. What you send goes out when you are back.']
            : ['waiting', wasOpen ? 'Reconnecting…' : 'Connecting…']
    for (const one of [status, beacon]) one.dataset['state'] = name
    if (status.textContent !== text) status.textContent = text
    document.body.dataset['connection'] = name
  }
  addEventListener('online', show)
  addEventListener('offline', show)

  function say(text: string): void {
    problem.textContent = text
    problem.hidden = text === ''
  }

  /**
   * A refused page, a server that is away and a network that is slow look the same to a script; some calls tell them
   * apart.
   */
  async function lookInto(): Promise<void> {
    if (looking) return
    looking = true
    await new Promise((done) => setTimeout(done, PATIENCE_MS))
    const answers = (mode: RequestMode): Promise<boolean> =>
      fetch(`${url}/v1/models`, { mode, cache: 'no-store' }).then(
        () => true,
        () => false,
      )
    if (!wasOpen && !(await answers('cors'))) {
      const isThere = await answers('no-cors')
      if (!wasOpen)
        say(
          isThere
            ? `Sluice refuses pages of ${origin}: start it with --http-cors-origins ${origin}`
            : `Sluice can't be reached at ${url}. Trying again.`,
        )
    }
    looking = false
  }

  return {
    onState(now) {
      state = now
      wasOpen ||= now === 'open'
      if (now === 'open') say('')
      show()
    },
    onError(error) {
      if (error.code === 'connection_lost') {
        if (!wasOpen) void lookInto()
      } else if (!error.retryable || (error.code === 'ticket_failed' && !wasOpen)) say(error.message)
    },
  }
}
