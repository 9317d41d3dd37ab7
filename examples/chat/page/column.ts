/** Shows a thread. What users and models said goes in as text, never as markup. */
import type { Thread, Turn } from './thread.ts'

/** So near to its end, a list is kept there. */
const NEAR_PX = 80

export interface Column {
  /** Shows what has changed, with the next frame. */
  refresh(): void
}

export function createColumn(root: HTMLElement, thread: () => Thread): Column {
  const list = root.querySelector('[role=log]')!
  const form = root.querySelector('form')!
  const input = root.querySelector('textarea')!
  const shown = new Map<Turn, (turn: Turn) => void>()
  let due = false

  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const question = input.value.trim()
    if (question === '') return
    input.value = ''
    thread().send(question)
    list.scrollTop = list.scrollHeight
  })
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    form.requestSubmit()
  })

  function show(): void {
    due = false
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_PX
    for (const [i, turn] of thread().turns.entries()) {
      if (!shown.has(turn)) {
        const { item, update } = createItem(turn)
        list.insertBefore(item, list.children[i] ?? null)
        shown.set(turn, update)
      }
      shown.get(turn)!(turn)
    }
    root.classList.toggle('empty', shown.size === 0)
    if (atEnd) list.scrollTop = list.scrollHeight
  }

  function createItem(turn: Turn): { readonly item: HTMLElement; update(turn: Turn): void } {
    const item = document.querySelector<HTMLTemplateElement>('#turn')!.content.cloneNode(true) as DocumentFragment
    const [article, question, answer, note, stop] = ['article', '.question', '.answer', '.note', '.stop'].map((selector) => item.querySelector<HTMLElement>(selector)!)
    question.textContent = turn.question
    stop.addEventListener('click', () => thread().stop(turn))
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
        stop.hidden = !(state === 'waiting' || state === 'answering')
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
