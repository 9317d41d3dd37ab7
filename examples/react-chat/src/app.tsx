import { useSluiceConversation, useSluiceState } from '@sluice/client/react'
import { useEffect, useState } from 'react'
import { request, sluice } from './sluice.ts'
import { Thread } from './thread.tsx'
import { Uploads } from './uploads.tsx'
import { useChats } from './use-chats.ts'
import { inLine } from './words.ts'

const VIEWS = ['chats', 'thread', 'uploads'] as const

export function App() {
  const chats = useChats()
  // On a narrow screen one of the three is shown
  const [view, setView] = useState<(typeof VIEWS)[number]>('thread')
  const choose = (id: string): void => {
    chats.choose(id)
    setView('thread')
  }
  return (
    <main className="app" data-view={view}>
      <h1 className="for-readers">Chats and uploads</h1>
      <nav className="views" aria-label="Views">
        {VIEWS.map((name) => (
          <button key={name} type="button" aria-pressed={view === name} onClick={() => setView(name)}>
            {name === 'thread' ? 'Chat' : name === 'chats' ? 'Chats' : 'Uploads'}
          </button>
        ))}
      </nav>
      <section className="chats" aria-label="Chats">
        <header>
          <h2>Chats</h2>
          <button
            type="button"
            onClick={() => {
              chats.begin()
              setView('thread')
            }}
          >
            New chat
          </button>
        </header>
        <ul>
          {chats.ids.map((id) => (
            <li key={id}>
              <Chat id={id} isCurrent={id === chats.current} onChosen={choose} />
            </li>
          ))}
        </ul>
        <Connection />
      </section>
      {chats.current !== '' && <Thread key={chats.current} id={chats.current} onNews={chats.refresh} />}
      <Uploads />
    </main>
  )
}

/** Watches its chat too, so that each tells what goes on in it. A thread that shows the same one shares it. */
function Chat({
  id,
  isCurrent,
  onChosen,
}: {
  readonly id: string
  readonly isCurrent: boolean
  readonly onChosen: (id: string) => void
}) {
  const { name, turns, status, place } = useSluiceConversation(sluice, id, request)
  const note = status === 'answering' ? 'Answering…' : status === 'waiting' ? inLine(place) : ''
  return (
    <button type="button" className="chat" aria-current={isCurrent ? 'page' : undefined} onClick={() => onChosen(id)}>
      <span>{name ?? turns[0]?.question ?? 'New chat'}</span>
      {note !== '' && <small data-status={status}>{note}</small>}
    </button>
  )
}

function Connection() {
  const state = useSluiceState(sluice)
  const [isOnline, setOnline] = useState(navigator.onLine)
  useEffect(() => {
    const look = (): void => setOnline(navigator.onLine)
    addEventListener('online', look)
    addEventListener('offline', look)
    return () => {
      removeEventListener('online', look)
      removeEventListener('offline', look)
    }
  }, [])
  const text =
    state === 'open' ? 'Connected' : isOnline ? 'Connecting…' : 'Offline. What you send goes out when you are back.'
  return (
    <p className="connection" data-state={state} role="status">
      {state === 'closed' ? 'Disconnected. Reload the page.' : text}
    </p>
  )
}
