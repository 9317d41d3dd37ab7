/** What was done, with its way back. */
import { signal } from '@preact/signals'
import { Button } from './button.tsx'

interface Toast {
  readonly id: number
  readonly text: string
  readonly isError: boolean
  readonly undo: (() => void | Promise<void>) | null
}

const toasts = signal<readonly Toast[]>([])
let ids = 0
/** What can be undone can be for so long. */
const UNDO_MS = 10_000
const MOST = 3

const drop = (id: number): void => {
  toasts.value = toasts.value.filter((one) => one.id !== id)
}

export function toast(text: string, { undo, isError = false }: Partial<Pick<Toast, 'undo' | 'isError'>> = {}): void {
  const id = ++ids
  toasts.value = [...toasts.value, { id, text, isError, undo: undo ?? null }].slice(-MOST)
  setTimeout(() => drop(id), UNDO_MS)
}

/** Runs what a button does; what goes wrong is told in the server's words. */
export async function attempt(task: () => Promise<void>): Promise<void> {
  try {
    await task()
  } catch (error) {
    const { message, requestId } = error as Error & { requestId?: string | null }
    toast(requestId ? `${message} (request ${requestId})` : message, { isError: true })
  }
}

export const Toasts = () => (
  <div class="toasts" role="status" aria-live="polite">
    {toasts.value.map(({ id, text, isError, undo }) => (
      <div key={id} class={`toast ${isError ? 'toast-bad' : ''}`}>
        <span>{text}</span>
        {undo !== null && (
          <Button
            isSmall
            kind="quiet"
            onClick={() => {
              drop(id)
              void attempt(async () => undo())
            }}
          >
            Undo
          </Button>
        )}
        <Button isSmall kind="quiet" label="Dismiss" onClick={() => drop(id)}>
          ×
        </Button>
      </div>
    ))}
  </div>
)
