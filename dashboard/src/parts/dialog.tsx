import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { Button } from './button.tsx'

interface DialogProps {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
  readonly class?: string
}

/** Modal; Esc and a click beside it close it, and the focus goes back to where it was. */
export function Dialog({ title, onClose, children, class: look }: DialogProps) {
  const id = useId()
  const ref = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const before = document.activeElement
    ref.current?.showModal()
    return () => {
      if (before instanceof HTMLElement) before.focus()
    }
  }, [])
  return (
    <dialog
      ref={ref}
      class={`dialog ${look ?? ''}`}
      aria-labelledby={id}
      onClose={onClose}
      onClick={({ target }) => target === ref.current && ref.current?.close()}
      onKeyDown={() => {}}
    >
      <div class="dialog-inside">
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </dialog>
  )
}

interface Question {
  readonly title: string
  /** What will happen, counted. */
  readonly body: ComponentChildren
  /** On the button: what it does. */
  readonly yes: string
  /** To be typed first: for whole tenants. */
  readonly typed?: string
}

const asked = signal<(Question & { readonly answer: (isYes: boolean) => void }) | null>(null)

/** For what cannot be undone: asks once. */
export const confirm = (question: Question): Promise<boolean> =>
  new Promise((resolve) => {
    asked.value = {
      ...question,
      answer: (isYes) => {
        asked.value = null
        resolve(isYes)
      },
    }
  })

export function Confirm() {
  const question = asked.value
  return question === null ? null : <Asked key={question.title} {...question} />
}

function Asked({ title, body, yes, typed, answer }: Question & { readonly answer: (isYes: boolean) => void }) {
  const [text, setText] = useState('')
  return (
    <Dialog title={title} onClose={() => answer(false)}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault()
          if (typed === undefined || text === typed) answer(true)
        }}
      >
        <div class="dialog-body">{body}</div>
        {typed !== undefined && (
          <label class="field">
            Type <strong>{typed}</strong>
            <input value={text} autocomplete="off" onInput={({ currentTarget }) => setText(currentTarget.value)} />
          </label>
        )}
        <div class="dialog-foot">
          <Button onClick={() => answer(false)}>Leave it</Button>
          <Button
            kind="danger"
            type="submit"
            off={typed === undefined || text === typed ? null : `Type ${typed} first.`}
          >
            {yes}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
