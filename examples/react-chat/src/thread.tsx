import type { Turn } from '@sluice/client'
import { useSluiceConversation } from '@sluice/client/react'
import { memo, useEffect, useRef, useState } from 'react'
import { request, sluice } from './sluice.ts'
import { noteOf } from './words.ts'

const NAME_CHARS = 40

export function Thread({ id, onNews }: { readonly id: string; readonly onNews: () => void }) {
  const { turns, name, status, hasOlder, error, send, stop, retry, older, rename } = useSluiceConversation(
    sluice,
    id,
    request,
  )
  const end = useRef<HTMLDivElement>(null)
  const shown = turns.length
  // biome-ignore lint/correctness/useExhaustiveDependencies: a turn more, or a name, is news
  useEffect(onNews, [onNews, shown, name])
  useFollow(end, turns)

  function say(text: string): void {
    send(text)
    if (name === null && shown === 0) rename(text.slice(0, NAME_CHARS)).catch(() => {})
  }
  return (
    <section className="thread" aria-label="Chat">
      <div className="turns">
        {hasOlder && (
          <button type="button" onClick={() => void older()}>
            Earlier messages
          </button>
        )}
        {error !== null && <p role="alert">{error.message}</p>}
        {status === 'ready' && shown === 0 && <p className="empty">Say something. You can go on while it answers.</p>}
        {turns.map((turn) => (
          <TurnView key={turn.key} turn={turn} stop={stop} retry={retry} />
        ))}
        <div ref={end} />
      </div>
      <Composer isBusy={status === 'answering' || status === 'waiting'} onSend={say} onStop={() => void stop()} />
    </section>
  )
}

/** A turn is the same object for as long as nothing of it changes: those that have ended are not rendered again. */
const TurnView = memo(function TurnView({
  turn,
  stop,
  retry,
}: {
  readonly turn: Turn
  readonly stop: (turn: Turn) => Promise<void>
  readonly retry: (turn: Turn) => Turn
}) {
  const note = noteOf(turn)
  const { state } = turn
  return (
    <article data-state={state}>
      <p className="question">{turn.question}</p>
      {turn.answer !== '' && <p className="answer">{turn.answer}</p>}
      {state === 'answering' && turn.answer === '' && <p className="note">Thinking…</p>}
      {note !== '' && <p className="note">{note}</p>}
      {state === 'waiting' && (
        <button type="button" onClick={() => void stop(turn)}>
          Withdraw
        </button>
      )}
      {(state === 'failed' || state === 'stopped') && (
        <button type="button" onClick={() => retry(turn)}>
          Try again
        </button>
      )}
    </article>
  )
})

function Composer({
  isBusy,
  onSend,
  onStop,
}: {
  readonly isBusy: boolean
  readonly onSend: (text: string) => void
  readonly onStop: () => void
}) {
  const [text, setText] = useState('')
  function submit(): void {
    if (text.trim() === '') return
    onSend(text)
    setText('')
  }
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <textarea
        aria-label="Message"
        placeholder="Message"
        rows={2}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
          event.preventDefault()
          submit()
        }}
      />
      {isBusy && (
        <button type="button" className="stop" onClick={onStop}>
          Stop
        </button>
      )}
      <button type="submit" className="send">
        Send
      </button>
    </form>
  )
}

/** Keeps the end in view, unless the reader has scrolled up. */
function useFollow(end: { readonly current: HTMLElement | null }, news: unknown): void {
  const follows = useRef(true)
  useEffect(() => {
    const box = end.current?.parentElement
    if (!box) return
    const look = (): void => {
      follows.current = box.scrollHeight - box.scrollTop - box.clientHeight < 80
    }
    box.addEventListener('scroll', look)
    return () => box.removeEventListener('scroll', look)
  }, [end])
  // biome-ignore lint/correctness/useExhaustiveDependencies: each change of what is shown
  useEffect(() => {
    if (follows.current) end.current?.scrollIntoView({ block: 'end' })
  }, [end, news])
}
