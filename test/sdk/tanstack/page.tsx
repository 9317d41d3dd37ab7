/** A chat as an application has it: TanStack AI's useChat over the client's connection. `?sluice=` is where Sluice is,
 * `#` the thread. */
import { connect } from '@sluice/client'
import { createChatConnection } from '@sluice/client/tanstack-ai'
import { toolDefinition } from '@tanstack/ai'
import { type UIMessage, useChat } from '@tanstack/ai-react'
import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { z } from 'zod'

const sluice = connect({
  url: new URLSearchParams(location.search).get('sluice')!,
  ticket: async () => ((await (await fetch('/ticket', { method: 'POST' })).json()) as { ticket: string }).ticket,
})
const connection = createChatConnection(sluice, { request: { model: 'demo' } })
const weather = toolDefinition({
  name: 'weather',
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.string() }),
}).client(() => ({ sky: 'clear, 21 degrees' }))

function Page() {
  const [id, setId] = useState(location.hash.slice(1))
  useEffect(() => {
    const show = (): void => setId(location.hash.slice(1))
    addEventListener('hashchange', show)
    return () => removeEventListener('hashchange', show)
  }, [])
  return <Thread key={id} id={id} />
}

function Thread({ id }: { readonly id: string }) {
  const tools = new URLSearchParams(location.search).has('tools') ? [weather] : []
  const { messages, status, error, sendMessage, stop, reload } = useChat({
    connection,
    tools,
    threadId: id,
    persistence: true,
  })
  const [text, setText] = useState('')
  return (
    <>
      {messages.map((message) => (
        <article key={message.id} data-role={message.role}>
          {message.parts.map((part, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: parts have no ids
            <Part key={i} part={part as UIMessage['parts'][number]} />
          ))}
        </article>
      ))}
      <p id="status">{status}</p>
      <p id="error">{error?.message}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void sendMessage(text)
          setText('')
        }}
      >
        <input id="text" value={text} onChange={(event) => setText(event.target.value)} />
      </form>
      <button
        type="button"
        id="stop"
        onClick={() => {
          stop()
          void connection.cancel(id)
        }}
      >
        Stop
      </button>
      <button type="button" id="again" onClick={() => void reload()}>
        Again
      </button>
    </>
  )
}

function Part({ part }: { readonly part: UIMessage['parts'][number] }) {
  if (part.type === 'text') return <span className="text">{part.content}</span>
  if (part.type !== 'tool-call') return null
  return (
    <code data-state={part.state}>
      {part.name} {part.arguments} {JSON.stringify(part.output)}
    </code>
  )
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <Page />
  </StrictMode>,
)
