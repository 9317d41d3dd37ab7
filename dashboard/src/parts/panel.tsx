import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'

interface PanelProps {
  readonly title: ComponentChildren
  /** Beside the title, quieter: the question that it answers, or what it found. */
  readonly sub?: ComponentChildren
  /** At the right end: what is drawn, in which unit; or buttons. */
  readonly right?: ComponentChildren
  readonly class?: string
  readonly children: ComponentChildren
}

/** A hairline and air, not a box. */
export function Panel({ title, sub, right, class: look, children }: PanelProps) {
  const id = useId()
  return (
    <section class={`panel ${look ?? ''}`} aria-labelledby={id}>
      <header class="panel-head">
        <h2 id={id}>{title}</h2>
        {sub !== undefined && <span class="panel-sub">{sub}</span>}
        {right !== undefined && <span class="panel-right">{right}</span>}
      </header>
      {children}
    </section>
  )
}

/** A colour's swatch and its name, as in all legends. */
export const Swatch = ({ of, children }: { readonly of: string; readonly children?: ComponentChildren }) => (
  <span class="swatch">
    <i class={`swatch-${of}`} aria-hidden="true" />
    {children}
  </span>
)

/** A word of the glossary (core/measure.ts): what it means, on hover and focus. */
export const Term = ({ of, children }: { readonly of: string | undefined; readonly children: ComponentChildren }) =>
  of === undefined ? (
    <>{children}</>
  ) : (
    <button type="button" class="term" data-tip={of} aria-description={of}>
      {children}
    </button>
  )
