/** The client's hooks in StrictMode, which mounts twice. `?sluice=` is where Sluice is, `#` the conversation. */
import { connect, type Job } from '@sluice/client'
import { useSluiceConversation, useSluiceJob, useSluiceState } from '@sluice/client/react'
import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'

const sluice = connect({
  url: new URLSearchParams(location.search).get('sluice')!,
  ticket: async () => ((await (await fetch('/ticket', { method: 'POST' })).json()) as { ticket: string }).ticket,
})
const REQUEST = { model: 'demo' }
const id = location.hash.slice(1)
let mounts = 0

function Page() {
  const [isShown, setShown] = useState(true)
  const [job, setJob] = useState<Job | null>(null)
  const state = useSluiceState(sluice)
  const submit = (): void => {
    const messages = [{ role: 'user', content: 'Tell me of rivers. demo: tokens=100 delay=20 ttft=20' }]
    setJob(sluice.submit({ request: { ...REQUEST, messages } }))
  }
  return (
    <>
      <p id="state">{state}</p>
      <button type="button" id="toggle" onClick={() => setShown(!isShown)}>
        Toggle
      </button>
      <button type="button" id="submit" onClick={submit}>
        Submit
      </button>
      {isShown && <Thread />}
      {isShown && job !== null && <Followed job={job} />}
    </>
  )
}

function Thread() {
  const { turns, status, send } = useSluiceConversation(sluice, id, REQUEST)
  const [text, setText] = useState('')
  useEffect(() => {
    mounts++
  }, [])
  return (
    <>
      <p id="mounts">{mounts}</p>
      <p id="status">{status}</p>
      {turns.map(({ key, question, answer }) => (
        <article key={key}>
          <h2>{question}</h2>
          <p>{answer}</p>
        </article>
      ))}
      <form
        onSubmit={(event) => {
          event.preventDefault()
          send(text)
          setText('')
        }}
      >
        <input id="text" value={text} onChange={(event) => setText(event.target.value)} />
      </form>
    </>
  )
}

function Followed({ job }: { readonly job: Job }) {
  const { id: name, state, text } = useSluiceJob(job)
  return (
    <p id="job" data-job={name} data-state={state}>
      {text}
    </p>
  )
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <Page />
  </StrictMode>,
)
