import type { ComponentChildren } from 'preact'

interface ChoiceProps<T extends string> {
  readonly label: string
  readonly options: readonly { readonly value: T; readonly text: ComponentChildren; readonly label?: string }[]
  readonly value: T | null
  readonly onChange: (value: T) => void
  readonly class?: string
}

/** One of a few, side by side: ranges, languages of an example, filter of a list. Arrow keys move. */
export function Choice<T extends string>({ label, options, value, onChange, class: look }: ChoiceProps<T>) {
  const move = (event: KeyboardEvent): void => {
    const by = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0
    if (by === 0) return
    event.preventDefault()
    const at = options.findIndex((option) => option.value === value)
    const next = options[(at + by + options.length) % options.length]
    onChange(next.value)
    const buttons = (event.currentTarget as HTMLElement).querySelectorAll('button')
    buttons[options.indexOf(next)]?.focus()
  }
  return (
    <div class={`choice ${look ?? ''}`} role="group" aria-label={label} onKeyDown={move}>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          aria-label={option.label}
          class={`choice-${option.value}`}
          onClick={() => onChange(option.value)}
        >
          {option.text}
        </button>
      ))}
    </div>
  )
}
