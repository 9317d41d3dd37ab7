/** The page: one connection, a list of conversations, and the one that is shown. */
import './cut.ts' // before the client opens its socket
import { type Conversation, connect, type Sluice } from '@sluice/client'
import { createList } from './list.ts'
import { createStatus } from './status.ts'
import { createStory } from './story.ts'
import { createThread } from './thread.ts'
import { nameOf } from './words.ts'

const setting = (name: string): string => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)!.content
const url = setting('sluice-url')
const isDemo = setting('sluice-model') === 'demo'

let client: Sluice | null = null
const status = createStatus(url, () => client)
const sluice = connect({
  url,
  async ticket() {
    const response = await fetch('/ticket', { method: 'POST' })
    const { ticket, error } = await response.json()
    if (!response.ok) throw new Error(error.message)
    return ticket
  },
  onState(state) {
    status.onState(state)
    story.look()
    if (state === 'open') list.refresh()
  },
  onError: status.onError,
})
client = sluice

const thread = createThread({
  onProblem: (error) => status.onError(error as never),
  onSend: () => story.clear(),
  isServerDead: () => story.isServerDead(),
})
let shown: Conversation | null = null
const story = createStory(sluice, () => shown, setting('can-kill') === 'true')
const list = createList(sluice, open)

// ---------------------------------------------------------------- which conversation

/** It is in the address, so that a reload and a bookmark show the same. */
const idInAddress = (): string | null => new URLSearchParams(location.hash.slice(1)).get('c')
const newId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36).padStart(2, '0')).join('')

function open(id: string): void {
  closeMenu()
  if (shown?.id === id) return
  shown?.close()
  story.clear()
  if (idInAddress() !== id) history.pushState(null, '', `#c=${encodeURIComponent(id)}`)
  shown = sluice.conversation(id, {
    request: { model: setting('sluice-model') },
    onChange,
    onError: status.onError,
  })
  thread.show(shown)
  onChange()
}

let ended = 0
function onChange(): void {
  if (shown === null) return
  const { turns, name, id } = shown
  const first = turns.find(({ question }) => question !== '')
  const called = name ?? nameOf(first?.question ?? '')
  document.querySelector('#title')!.textContent = called || (shown.loaded ? 'New chat' : 'Loading…')
  document.title = called === '' ? 'Sluice chat' : `${called} · Sluice chat`
  list.mark(id, called)
  // A name of its own, once it is one of the server's conversations
  const over = turns.filter(({ state }) => state === 'done' || state === 'stopped' || state === 'failed').length
  if (over !== ended) {
    ended = over
    if (name === null && over > 0 && called !== '' && shown.loaded) shown.rename(called).catch(() => {})
    list.refresh()
  }
  thread.refresh()
  story.look()
}

addEventListener('popstate', () => open(idInAddress() ?? newId()))
document.querySelector('#new')!.addEventListener('click', () => open(newId()))
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && list.refresh())

// ---------------------------------------------------------------- a first question

const CHIPS = isDemo
  ? [
      ['A long answer, to cut', 'What happens to this answer when my connection is cut? demo: tokens=400 delay=40'],
      ['A short one', 'What is Sluice?'],
      ['One that fails, then works', 'Fail once, so that I see a retry. demo: fail=500 faults=1'],
      ['One that fails', 'Refuse to answer. demo: fail=400'],
    ]
  : [
      ['A long answer, to cut', 'Tell me the history of canal locks, in about 600 words.'],
      ['A list', 'List ten things that can go wrong in a network, each with one remedy.'],
      ['Some code', 'Write a small function in TypeScript that retries a promise with full jitter.'],
    ]
document.querySelector('#chips')!.append(
  ...CHIPS.map(([label, text]) => {
    const chip = document.createElement('button')
    chip.type = 'button'
    chip.textContent = label
    chip.title = text
    chip.addEventListener('click', () => thread.send(text))
    return chip
  }),
)

// ---------------------------------------------------------------- the list, where there is no room for it

const menu = document.querySelector<HTMLButtonElement>('#menu')!
function closeMenu(): void {
  document.body.classList.remove('menu')
  menu.ariaExpanded = 'false'
}
menu.addEventListener('click', () => {
  menu.ariaExpanded = String(document.body.classList.toggle('menu'))
})
document.querySelector('main')!.addEventListener('click', (event) => {
  if (event.target !== menu) closeMenu()
})
document.addEventListener(
  'keydown',
  (event) => {
    if (event.key !== 'Escape' || !document.body.classList.contains('menu')) return
    event.preventDefault()
    closeMenu()
    menu.focus()
  },
  { capture: true },
)

// ---------------------------------------------------------------- the beginning

const asked = idInAddress()
if (asked !== null) open(asked)
else
  list.read().then(
    ([newest]) => shown === null && open(newest?.id ?? newId()),
    () => shown === null && open(newId()),
  )
