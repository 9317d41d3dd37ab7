/** The conversation that is shown: its turns, the place to write, and what is in sight. */
import type { Conversation, Turn } from '@sluice/client'
import { createTurnView, isOver, type TurnEvents, type TurnView } from './turn-view.ts'

/** A reader this close to the end is kept there. */
const NEAR_PX = 80

const find = <E extends HTMLElement>(selector: string): E => document.querySelector<E>(selector)!

export interface Thread {
  /** Shows another conversation. */
  show(conversation: Conversation): void
  /** Shows what has changed, with the next frame. */
  refresh(): void
  send(text: string): void
}

export interface ThreadEvents extends TurnEvents {
  /** The user has asked something. */
  onSend(): void
}

export function createThread(on: ThreadEvents): Thread {
  const [scroll, log, loading, empty] = [find('#scroll'), find('#log'), find('#loading'), find('#empty')]
  const older = find('#older')
  const [form, input] = [find<HTMLFormElement>('form'), find<HTMLTextAreaElement>('#message')]
  const [sendButton, stopButton, newest] = [find('#send'), find('#stop'), find('#newest')]
  const done = find('#done')
  let conversation: Conversation | null = null
  /** Sent before it was known which conversation is shown. */
  const early: string[] = []
  let views = new Map<Turn, TurnView>()
  let due = false
  let atEnd = true
  let announced = 0

  const running = (): Turn | undefined => conversation?.turns.find(({ state }) => state === 'answering')
  const toEnd = (): void => {
    scroll.scrollTop = scroll.scrollHeight
  }
  const look = (): void => {
    atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_PX
    newest.hidden = atEnd
  }
  scroll.addEventListener('scroll', look, { passive: true })
  new ResizeObserver(() => atEnd && toEnd()).observe(scroll)
  newest.addEventListener('click', () => {
    atEnd = true
    toEnd()
    input.focus()
  })

  older.addEventListener('click', async () => {
    const below = scroll.scrollHeight - scroll.scrollTop
    await conversation?.older().catch(on.onProblem)
    // What is being read stays where it is
    requestAnimationFrame(() => requestAnimationFrame(() => scroll.scrollTo({ top: scroll.scrollHeight - below })))
  })

  function send(text: string): void {
    if (text === '') return
    if (conversation === null) return void early.push(text)
    atEnd = true
    on.onSend()
    conversation.send(text)
  }
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const text = input.value.trim()
    if (text === '') return
    input.value = ''
    send(text)
  })
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    form.requestSubmit()
  })
  input.addEventListener('input', () => refresh())
  const stop = (): void => void conversation?.stop().catch(on.onProblem)
  stopButton.addEventListener('click', () => {
    stop()
    input.focus()
  })
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || event.defaultPrevented || running() === undefined) return
    event.preventDefault()
    stop()
  })

  function show(): void {
    due = false
    if (conversation === null) return
    const { turns, loaded } = conversation
    for (const [turn, { item }] of views)
      if (!turns.includes(turn)) {
        item.remove()
        views.delete(turn)
      }
    for (const [i, turn] of turns.entries()) {
      const view = views.get(turn) ?? createTurnView(turn, conversation, on)
      views.set(turn, view)
      if (log.children[i] !== view.item) log.insertBefore(view.item, log.children[i] ?? null)
      view.update()
    }
    older.hidden = !conversation.hasOlder
    loading.hidden = loaded || turns.length > 0
    empty.hidden = !loaded || turns.length > 0
    // Stop takes the place of Send, unless there is something to send
    const stops = running() !== undefined && input.value.trim() === ''
    stopButton.hidden = !stops
    sendButton.hidden = stops
    announce(turns)
    if (atEnd) toEnd()
    look()
  }

  /** The end of an answer, for those who can't see it; not its every token. */
  function announce(turns: readonly Turn[]): void {
    const over = turns.filter(isOver).length
    if (over > announced && announced >= 0) done.textContent = `Answered: ${turns.filter(isOver).at(-1)?.answer ?? ''}`
    announced = over
  }

  function refresh(): void {
    if (due) return
    due = true
    requestAnimationFrame(show)
  }

  return {
    show(next) {
      conversation = next
      views = new Map()
      log.replaceChildren()
      announced = Number.NEGATIVE_INFINITY
      atEnd = true
      done.textContent = ''
      if (matchMedia('(pointer: fine)').matches) input.focus()
      for (const text of early.splice(0)) send(text)
      refresh()
    },
    refresh,
    send,
  }
}
