/** Dark, light, or as the system has it; and the tokens as colours, for canvases. */
import { effect, signal } from '@preact/signals'

export type Choice = 'system' | 'dark' | 'light'
export type Theme = 'dark' | 'light'

const KEPT = 'sluice.theme'
const isChoice = (value: string | null): value is Choice => value === 'system' || value === 'dark' || value === 'light'
const kept = globalThis.localStorage?.getItem(KEPT) ?? null
const system = globalThis.matchMedia?.('(prefers-color-scheme: light)')

export const choice = signal<Choice>(isChoice(kept) ? kept : 'system')
const systemTheme = signal<Theme>(system?.matches ? 'light' : 'dark')
export const theme = signal<Theme>('dark')

const motion = globalThis.matchMedia?.('(prefers-reduced-motion: reduce)')
export const isStill = signal(motion?.matches ?? false)

export function setTheme(next: Choice): void {
  choice.value = next
  localStorage.setItem(KEPT, next)
}

export function applyTheme(): void {
  system?.addEventListener('change', ({ matches }) => {
    systemTheme.value = matches ? 'light' : 'dark'
  })
  motion?.addEventListener('change', ({ matches }) => {
    isStill.value = matches
  })
  effect(() => {
    const next = choice.value === 'system' ? systemTheme.value : choice.value
    document.documentElement.dataset['theme'] = next
    read.clear()
    theme.value = next
  })
}

const read = new Map<string, string>()

/** The value of a token in force, as "--water". Read `theme.value` where a drawing must follow a switch. */
export function colour(token: `--${string}`): string {
  let value = read.get(token)
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(token).trim()
    read.set(token, value)
  }
  return value
}
