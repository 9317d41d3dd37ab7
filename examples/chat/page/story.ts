/** One line about what is happening to this page's connection and to the server. */
import type { Conversation, Sluice } from '@sluice/client'
import { cutConnection } from './cut.ts'
import { duration } from './words.ts'

const STAYS_MS = 12_000

const find = <E extends HTMLElement>(selector: string): E => document.querySelector<E>(selector)!

export interface Story {
  /** The connection or the conversation has changed. */
  look(): void
  /** What happened is over: the user has moved on. */
  clear(): void
  /** This page has killed it, and it is not back yet. */
  isServerDead(): boolean
}

export function createStory(sluice: Sluice, shown: () => Conversation | null, canKill: boolean): Story {
  const [line, cut, kill] = [find('#story'), find<HTMLButtonElement>('#cut'), find<HTMLButtonElement>('#kill')]
  let fade: ReturnType<typeof setTimeout> | undefined
  let killing = false
  /** Cuts that were reported already. */
  const reported = new WeakSet<object>()

  function clear(): void {
    clearTimeout(fade)
    line.textContent = ''
  }
  function report(text: string): void {
    clearTimeout(fade)
    line.textContent = text
    fade = setTimeout(clear, STAYS_MS)
  }

  function look(): void {
    const isOpen = sluice.state === 'open'
    cut.disabled = !isOpen
    kill.disabled = !isOpen || killing
    for (const turn of shown()?.turns ?? [])
      for (const one of turn.cuts) {
        if (one.awayMs === null || reported.has(one)) continue
        reported.add(one)
        report(`Back after ${duration(one.awayMs)}, at token ${one.tokens}: nothing lost, nothing repeated.`)
      }
  }

  cut.addEventListener('click', () => {
    report('Your connection is cut. The server keeps writing, and stores every token.')
    cutConnection()
  })

  kill.hidden = !canKill
  kill.addEventListener('click', async () => {
    killing = true
    look()
    report('kill -9: the server is dead. What it had accepted and sent is on disk.')
    try {
      const response = await fetch('/kill', { method: 'POST' })
      const { downMs, error } = (await response.json()) as { downMs?: number; error?: { message: string } }
      if (downMs === undefined) throw new Error(error?.message)
      sluice.reconnect() // it would come back by itself, after a random pause
      report(`A new server is up after ${duration(downMs)}, and continues the unfinished answer from its log.`)
    } catch (error) {
      report(`The server could not be started again: ${(error as Error).message}`)
    }
    killing = false
    look()
  })
  return { look, clear, isServerDead: () => killing }
}
