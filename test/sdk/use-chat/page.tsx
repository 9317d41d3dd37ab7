/** A chat as an application has it: useChat over the client's transport. `?sluice=` is where Sluice is, `#` the chat. */
import { Chat, useChat } from '@ai-sdk/react'
import { connect } from '@sluice/client'
import { createChatTransport, loadMessages } from '@sluice/client/ai-sdk'
import { lastAssistantMessageIsCompleteWithToolCalls, type UIMessage } from 'ai'
import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'

const sluice = connect({
  url: new URLSearchParams(location.search).get('sluice')!,
  ticket: async () => ((await (await fetch('/ticket', { method: 'POST' })).json()) as { ticket: string }).ticket,
})
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const tools = [{ type: 'function', function: { name: 'weather', parameters } }]
const transport = createChatTransport(sluice, { request: { model: 'demo' } })

/** One for each chat, which outlives the component: useChat stops a chat of its own when it is unmounted. */
const chats = new Map<string, Promise<Chat<UIMessage>>>()
function chatOf(id: string): Promise<Chat<UIMessage>> {
  const made = chats.get(id) ?? begin(id)
  chats.set(id, made)
  return made
}
async function begin(id: string): Promise<Chat<UIMessage>> {
  const chat: Chat<UIMessage> = new Chat<UIMessage>({
    id,
    transport,
    messages: await loadMessages(sluice, id),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall({ toolCall: { toolName, toolCallId } }) {
      void chat.addToolOutput({ tool: toolName, toolCallId, output: { sky: 'clear, 21 degrees' } })
    },
  })
  return chat
}

function Page() {
  const [id, setId] = useState(location.hash.slice(1))
  const [chat, setChat] = useState<Chat<UIMessage> | null>(null)
  useEffect(() => {
    const show = (): void => setId(location.hash.slice(1))
    addEventListener('hashchange', show)
    return () => removeEventListener('hashchange', show)
  }, [])
  useEffect(() => {
    let isShown = true
    setChat(null)
    void chatOf(id).then((made) => isShown && setChat(made))
    return () => {
      isShown = false
    }
  }, [id])
  return chat === null ? null : <Thread key={chat.id} chat={chat} />
}

function Thread({ chat }: { readonly chat: Chat<UIMessage> }) {
  const { messages, status, error, sendMessage, stop, regenerate } = useChat({ chat, resume: true })
  const [text, setText] = useState('')
  return (
    <>
      {messages.map((message) => (
        <article key={message.id} data-role={message.role}>
          {message.parts.map((part, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: parts have no ids
            <Part key={i} part={part} />
          ))}
        </article>
      ))}
      <p id="status">{status}</p>
      <p id="error">{error?.message}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void sendMessage({ text }, { body: text.includes('weather') ? { tools } : {} })
          setText('')
        }}
      >
        <input id="text" value={text} onChange={(event) => setText(event.target.value)} />
      </form>
      <button type="button" id="stop" onClick={() => void stop()}>
        Stop
      </button>
      <button type="button" id="again" onClick={() => void regenerate()}>
        Again
      </button>
    </>
  )
}

function Part({ part }: { readonly part: UIMessage['parts'][number] }) {
  if (part.type === 'text') return <span className="text">{part.text}</span>
  if (part.type !== 'dynamic-tool') return null
  return (
    <code data-state={part.state}>
      {part.toolName} {JSON.stringify(part.input)} {JSON.stringify(part.output)}
    </code>
  )
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <Page />
  </StrictMode>,
)
