/** What happens to this page's connection and to the server, told in one line while it happens. */
import type { Conversation, Sluice } from '@sluice/client'
import { cutConnection } from './cut.ts'
import { duration } from './words.ts'

const STAYS_MS = 12_000

const find = <E extends HTMLElement>(selector: string): E => document.querySelector<E>(selector)!

export interface Story {
  /** The connection or the conversation has changed. */
  look(): void
}

export function createStory(sluice: Sluice, shown: () => Conversation | null, canKill: boolean): Story {
  const [line, cut, kill] = [find('#story'), find<HTMLButtonElement>('#cut'), find<HTMLButtonElement>('#kill')]
  let fade: ReturnType<typeof setTimeout> | undefined
  let killing = false
  /** Cuts of this conversation that were told already. */
  const told = new WeakSet<object>()

  function tell(text: string): void {
    clearTimeout(fade)
    line.textContent = text
    fade = setTimeout(() => {
      line.textContent = ''
    }, STAYS_MS)
  }

  function look(): void {
    const isOpen = sluice.state === 'open'
    cut.disabled = !isOpen
    kill.disabled = !isOpen || killing
    for (const turn of shown()?.turns ?? [])
      for (const one of turn.cuts) {
        if (one.awayMs === null || told.has(one)) continue
        told.add(one)
        tell(
          `Back after ${duration(one.awayMs)}. The text goes on after token ${one.tokens}: nothing is lost, ` +
            'nothing comes twice.',
        )
      }
  }

  cut.addEventListener('click', () => {
    tell('Your connection is cut. The answer goes on, and every token is stored.')
    cutConnection()
  })

  kill.hidden = !canKill
  kill.addEventListener('click', async () => {
    killing = true
    look()
    tell('kill -9: the server is dead. What it had accepted and sent is on disk.')
    try {
      const response = await fetch('/kill', { method: 'POST' })
      const { downMs, error } = (await response.json()) as { downMs?: number; error?: { message: string } }
      if (downMs === undefined) throw new Error(error?.message)
      sluice.reconnect() // it would come back by itself, after a random pause
      tell(
        `A new server is up after ${duration(downMs)}. It found the unfinished answer in its log and goes on with it.`,
      )
    } catch (error) {
      tell(`The server could not be started again: ${(error as Error).message}`)
    }
    killing = false
    look()
  })
  return { look }
}
