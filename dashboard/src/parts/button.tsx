import type { ComponentChildren } from 'preact'
import type { Role } from '../../../src/core/live.ts'
import { forbids } from '../session.ts'

interface ButtonProps {
  readonly kind?: 'primary' | 'plain' | 'danger' | 'quiet'
  readonly isSmall?: boolean
  /** Shown beside the words; whoever shows it also listens to it (useKey). */
  readonly hint?: string
  /** The role that it takes. */
  readonly needs?: Role
  /** Why it may not be pressed. It stays where it is, disabled, and tells. */
  readonly off?: string | null
  readonly label?: string
  readonly isPressed?: boolean
  readonly isBusy?: boolean
  readonly type?: 'button' | 'submit'
  readonly onClick?: (event: MouseEvent) => void
  /** Then it is a link. */
  readonly to?: string
  readonly class?: string
  readonly children: ComponentChildren
}

/** Where it is off it keeps its focus and its tooltip: a `disabled` button could not tell why. */
export function Button(props: ButtonProps) {
  const {
    kind = 'plain',
    isSmall,
    hint,
    needs,
    label,
    isPressed,
    isBusy,
    type = 'button',
    onClick,
    to,
    children,
  } = props
  // A role that may not do it at all comes first: whatever else stands in the way may pass
  const why = (needs === undefined ? null : forbids(needs)) ?? props.off ?? null
  const look = ['button', `button-${kind}`, isSmall && 'button-small', props.class].filter(Boolean).join(' ')
  const inside = (
    <>
      {children}
      {hint !== undefined && <kbd aria-hidden="true">{hint}</kbd>}
    </>
  )
  if (to !== undefined && why === null)
    return (
      <a class={look} href={to} aria-label={label}>
        {inside}
      </a>
    )
  return (
    <button
      type={type}
      class={look}
      aria-label={label}
      aria-pressed={isPressed}
      aria-busy={isBusy}
      aria-disabled={why !== null || isBusy ? 'true' : undefined}
      title={why ?? undefined}
      aria-description={why ?? undefined}
      onClick={(event) => {
        if (why !== null || isBusy) event.preventDefault()
        else onClick?.(event)
      }}
    >
      {inside}
    </button>
  )
}

/** Copies, and tells that it did. */
export function CopyButton({
  text,
  children = 'Copy',
  ...rest
}: { readonly text: string | (() => string) } & Partial<ButtonProps>) {
  return (
    <Button
      isSmall
      {...rest}
      onClick={async ({ currentTarget }) => {
        const button = currentTarget as HTMLElement
        await navigator.clipboard.writeText(typeof text === 'string' ? text : text())
        button.dataset['told'] = 'Copied'
        setTimeout(() => delete button.dataset['told'], 1_500)
      }}
    >
      {children}
    </Button>
  )
}
