/** Keys without a modifier. In fields they write; they can be switched off, as WCAG 2.1.4 wants. */
import { signal } from '@preact/signals'
import { useLayoutEffect, useRef } from 'preact/hooks'

export interface Key {
  /** As KeyboardEvent.key: "j", "/", " ", "Escape". After g: "g n". */
  readonly key: string
  /** What it does, for the list behind "?"; empty: it is not listed. */
  readonly what: string
  readonly run: (event: KeyboardEvent) => void
}

const KEPT = 'sluice.keys'
export const lettersOn = signal(globalThis.localStorage?.getItem(KEPT) !== 'off')
export function setLetters(on: boolean): void {
  lettersOn.value = on
  localStorage.setItem(KEPT, on ? 'on' : 'off')
}

/** Those of the page on top come last and win. */
const pressed: Key[] = []
/** How long g waits for its letter. */
const PREFIX_MS = 1_500

export const allKeys = (): readonly Key[] => {
  const seen = new Map<string, Key>()
  for (const key of pressed) if (key.what !== '') seen.set(key.key, key)
  return [...seen.values()]
}

export function addKey(key: Key): () => void {
  pressed.push(key)
  return () => {
    const at = pressed.lastIndexOf(key)
    if (at !== -1) pressed.splice(at, 1)
  }
}

/** While the component is there, from the moment that it is drawn. `run` may change with each render. */
export function useKey(key: string, what: string, run: (event: KeyboardEvent) => void, isOn = true): void {
  const latest = useRef(run)
  latest.current = run
  useLayoutEffect(
    () => (isOn ? addKey({ key, what, run: (event) => latest.current(event) }) : undefined),
    [key, what, isOn],
  )
}

const isField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
  !/^(?:checkbox|radio|button)$/.test((target as HTMLInputElement).type)

/** Space and Enter belong to what has the focus. */
const isPressable = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.closest('button, a, summary, [role=button], [role=tab], input') !== null

export function listenToKeys(): void {
  let prefixedAt = Number.NEGATIVE_INFINITY
  addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return
    const { key, target } = event
    if (isField(target) && key !== 'Escape') return
    if (document.querySelector('dialog[open]') !== null) return
    if ((key === ' ' || key === 'Enter') && isPressable(target)) return
    if (!lettersOn.value && key.length === 1 && key !== '?') return
    const isPrefixed = event.timeStamp - prefixedAt < PREFIX_MS
    prefixedAt = key === 'g' && !isPrefixed ? event.timeStamp : Number.NEGATIVE_INFINITY
    const wanted = isPrefixed ? `g ${key}` : key
    const found = pressed.findLast((one) => one.key === wanted)
    // Out of the field, to where letters are keys
    if (found === undefined && isField(target)) (target as HTMLElement).blur()
    if (found === undefined) return
    event.preventDefault()
    found.run(event)
  })
}
