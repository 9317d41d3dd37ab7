/** The user's conversations, newest first, by the names that the server keeps. */
import type { Sluice } from '@sluice/client'

export interface Listed {
  readonly id: string
  readonly name: string | null
}

export interface List {
  /** Reads it again. */
  refresh(): void
  /** Marks the one that is shown. `name`: its name here until the server has one; empty: it has no message yet. */
  mark(id: string, name: string): void
}

const SHOWN = 50

export function createList(
  sluice: Sluice,
  onChosen: (id: string) => void,
): List & { read(): Promise<readonly Listed[]> } {
  const root = document.querySelector<HTMLElement>('#list')!
  let known: readonly Listed[] = []
  let current = { id: '', name: '' }
  let reading = false
  let again = false

  async function read(): Promise<readonly Listed[]> {
    const { data } = (await sluice.http('GET', `/v1/conversations?limit=${SHOWN}`)) as {
      readonly data: readonly Listed[]
    }
    known = data
    show()
    return data
  }

  function show(): void {
    // One without a message is not a chat yet
    const isNew = current.name !== '' && !known.some(({ id }) => id === current.id)
    const all = isNew ? [{ id: current.id, name: null }, ...known] : known
    root.replaceChildren(
      ...all.map(({ id, name }) => {
        const button = document.createElement('button')
        button.type = 'button'
        button.textContent = name ?? ((id === current.id && current.name) || 'Untitled chat')
        if (id === current.id) button.ariaCurrent = 'page'
        button.addEventListener('click', () => onChosen(id))
        return button
      }),
    )
  }

  return {
    read,
    refresh() {
      again = reading
      if (reading) return
      reading = true
      read()
        .catch(() => {}) // the connection's status shows what is wrong
        .finally(() => {
          reading = false
          if (again) this.refresh()
        })
    },
    mark(id, name) {
      if (current.id === id && current.name === name) return
      current = { id, name }
      show()
    },
  }
}
