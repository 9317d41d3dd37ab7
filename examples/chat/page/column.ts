/** Shows a thread. What users and models said goes in as text, never as markup. */
import type { Thread, Turn } from './thread.ts'

/** Who reads so near to the end is kept there. */
const NEAR_PX = 80

export interface Column {
  /** Shows what has changed, with the next frame. */
  refresh(): void
}

export function createColumn(root: HTMLElement, thread: () => Thread): Column {
  const list = root.querySelector('[role=log]')!
  const form = root.querySelector('form')!
  const input = root.querySelector('textarea')!
  const halt = root.querySelector<HTMLElement>('.halt')!
  const shown = new Map<Turn, (turn: Turn) => void>()
  let due = false
  let atEnd = true

  const toEnd = (): void => {
    list.scrollTop = list.scrollHeight
  }
  list.addEventListener('scroll', () => {
    atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_PX
  })
  new ResizeObserver(() => atEnd && toEnd()).observe(list)

  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const question = input.value.trim()
    if (question === '') return
    input.value = ''
    atEnd = true
    thread().send(question)
  })
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    form.requestSubmit()
  })

  // Not beside the answer: that would move it away under the pointer
  const running = (): Turn | undefined => thread().turns.find(({ state }) => state === 'answering')
  halt.addEventListener('click', () => {
    const turn = running()
    if (turn !== undefined) thread().stop(turn)
  })

  function show(): void {
    due = false
    for (const [i, turn] of thread().turns.entries()) {
      if (!shown.has(turn)) {
        const { item, update } = createItem(turn)
        list.insertBefore(item, list.children[i] ?? null)
        shown.set(turn, update)
      }
      shown.get(turn)!(turn)
    }
    root.classList.toggle('empty', shown.size === 0)
    halt.hidden = running() === undefined
    if (atEnd) toEnd()
  }

  function createItem(turn: Turn): { readonly item: HTMLElement; update(turn: Turn): void } {
    const item = document.querySelector<HTMLTemplateElement>('#turn')!.content.cloneNode(true) as DocumentFragment
    const [article, question, answer, note, withdraw] = ['article', '.question', '.answer', '.note', '.withdraw'].map(
      (selector) => item.querySelector<HTMLElement>(selector)!,
    )
    question.textContent = turn.question
    withdraw.addEventListener('click', () => thread().stop(turn))
    let state = ''
    return {
      item: article,
      update(turn) {
        if (answer.textContent !== turn.answer) answer.textContent = turn.answer
        const said = noteOf(turn, thread().ahead(turn))
        if (note.textContent !== said) note.textContent = said
        if (state === turn.state) return
        state = turn.state
        article.dataset['state'] = state
        article.ariaBusy = String(state === 'answering') // readers wait for the whole answer
        withdraw.hidden = state !== 'waiting'
      },
    }
  }

  return {
    refresh() {
      if (due) return
      due = true
      requestAnimationFrame(show)
    },
  }
}

function noteOf({ state, answer, place, error }: Turn, ahead: number): string {
  if (state === 'sending') return 'Sending…'
  if (state === 'stopped') return 'Stopped'
  if (state === 'failed' || error !== null) return error ?? 'No answer.'
  if (state === 'answering') return answer === '' ? 'Thinking…' : ''
  if (state === 'done') return ''
  // The conversation's own order; then that of all who wait
  return ahead > 0 ? inLine(ahead) : place === null ? 'Thinking…' : inLine(place)
}

function inLine(n: number): string {
  if (n === 1) return 'Next in line'
  const suffix = n % 100 > 10 && n % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th')
  return `${n}${suffix} in line`
}
