/** Messages not accepted yet survive a reload of their tab: sent again under its key, each is the same job. */
import type { JobRequest } from '../../src/core/frames.ts'

export interface Letter {
  readonly key: string
  readonly request: JobRequest
}

export interface Outbox {
  list(): readonly Letter[]
  add(letter: Letter): void
  remove(key: string): void
}

interface Storage {
  getItem(name: string): string | null
  setItem(name: string, value: string): void
  removeItem(name: string): void
}

export function createOutbox(conversation: string): Outbox {
  const name = `sluice-outbox-${conversation}`
  let letters: readonly Letter[] = []
  try {
    letters = JSON.parse(storage()?.getItem(name) ?? '[]') as Letter[]
  } catch {} // not ours, or forbidden here
  const keep = (now: readonly Letter[]): void => {
    letters = now
    try {
      if (now.length === 0) storage()?.removeItem(name)
      else storage()?.setItem(name, JSON.stringify(now))
    } catch {} // full, or forbidden here: then it does not outlive a reload
  }
  return {
    list: () => letters,
    add: (letter) => keep([...letters, letter]),
    remove(key) {
      if (letters.some((letter) => letter.key === key)) keep(letters.filter((letter) => letter.key !== key))
    },
  }
}

/** A tab's own; none in Node. */
const storage = (): Storage | undefined => (globalThis as { readonly sessionStorage?: Storage }).sessionStorage
