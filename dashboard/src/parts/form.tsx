/** A dialog of text fields. What the server refuses is told beside the field that is to blame. */
import { useState } from 'preact/hooks'
import { ApiError } from '../api.ts'
import { Button } from './button.tsx'
import { Dialog } from './dialog.tsx'

export interface FormField {
  /** As the server names the member: "limits.concurrent". */
  readonly name: string
  readonly title: string
  readonly value?: string
  readonly placeholder?: string
}

interface FormProps {
  readonly title: string
  readonly fields: readonly FormField[]
  /** What it does, before it is done. */
  readonly effect: (texts: Readonly<Record<string, string>>) => string
  readonly yes: string
  readonly onClose: () => void
  /** Rejects with what the server told. */
  readonly send: (texts: Readonly<Record<string, string>>) => Promise<void>
}

const isAbout = (param: string, name: string): boolean => param === name || param.startsWith(`${name}.`)

export function Form({ title, fields, effect, yes, onClose, send }: FormProps) {
  const [texts, setTexts] = useState<Readonly<Record<string, string>>>(() =>
    Object.fromEntries(fields.map(({ name, value = '' }) => [name, value])),
  )
  const [error, setError] = useState<Error | null>(null)
  const [isBusy, setBusy] = useState(false)
  const param = (error instanceof ApiError && error.param) || ''
  const blamed = fields.find(({ name }) => isAbout(param, name))?.name
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          setBusy(true)
          send(texts).catch((thrown: Error) => {
            setError(thrown)
            setBusy(false)
          })
        }}
      >
        <div class="limit-fields">
          {fields.map(({ name, title, placeholder }) => (
            <label key={name} class="field">
              {title}
              <input
                value={texts[name]}
                autocomplete="off"
                spellcheck={false}
                placeholder={placeholder}
                aria-invalid={name === blamed}
                onInput={({ currentTarget }) => {
                  setTexts({ ...texts, [name]: currentTarget.value })
                  setError(null)
                }}
              />
              {name === blamed && (
                <span class="small warn" role="alert">
                  {error?.message}
                </span>
              )}
            </label>
          ))}
        </div>
        <div class="limit-changes" role="status">
          {error !== null && blamed === undefined ? (
            <p class="warn">{error.message}</p>
          ) : (
            <p class="muted">{effect(texts)}</p>
          )}
        </div>
        <div class="dialog-foot">
          <Button onClick={onClose}>Leave it</Button>
          <Button kind="primary" type="submit" isBusy={isBusy}>
            {yes}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
