/** One turn on the page. What users and models wrote goes in as text, never as markup. */
import type { Conversation, Turn } from '@sluice/client'
import { createRendering, type Mark } from './markdown.ts'
import { cutText, noteOf, switchesOf, withoutSwitches } from './words.ts'

export interface TurnView {
  readonly item: HTMLElement
  update(): void
}

export interface TurnEvents {
  onProblem(error: unknown): void
  isServerDead(): boolean
}

export function createTurnView(turn: Turn, conversation: Conversation, on: TurnEvents): TurnView {
  const copy = document.querySelector<HTMLTemplateElement>('#turn')!.content.cloneNode(true) as DocumentFragment
  const part = (selector: string): HTMLElement => copy.querySelector<HTMLElement>(selector)!
  const [item, question, answer, note, withdraw, again] = [
    part('article'),
    part('.question'),
    part('.answer'),
    part('.note'),
    part('.withdraw'),
    part('.again'),
  ]
  const rendering = createRendering(answer)
  const caret = document.createElement('span')
  caret.className = 'caret'
  const seams: HTMLElement[] = []
  let asked: string | null = null
  let shown: string | null = null
  let showsCaret = false
  let state = ''

  withdraw.addEventListener('click', () => void conversation.stop(turn).catch(on.onProblem))
  again.addEventListener('click', () => void conversation.retry(turn))

  function showQuestion(): void {
    if (asked === turn.question) return
    asked = turn.question
    const switches = document.createElement('code')
    switches.textContent = switchesOf(asked)
    question.replaceChildren(withoutSwitches(asked))
    if (switches.textContent !== '') question.append(' ', switches)
  }

  function showAnswer(): void {
    while (seams.length > turn.cuts.length) seams.pop()!.remove()
    for (const [i, cut] of turn.cuts.entries()) {
      seams[i] ??= Object.assign(document.createElement('span'), { className: 'seam' })
      const text = cutText(cut, on.isServerDead())
      seams[i].dataset['away'] = String(cut.awayMs === null)
      if (seams[i].textContent !== text) seams[i].textContent = text
    }
    const writes = turn.state === 'answering' && turn.answer !== ''
    if (shown === turn.answer && showsCaret === writes && seams.every((seam) => answer.contains(seam))) return
    shown = turn.answer
    showsCaret = writes
    if (!writes) caret.remove()
    const marks: Mark[] = turn.cuts.map(({ chars }, i) => ({ at: chars, node: seams[i] }))
    rendering.show(turn.answer, writes ? [...marks, { at: turn.answer.length, node: caret }] : marks)
  }

  return {
    item,
    update() {
      const { turns } = conversation
      showQuestion()
      showAnswer()
      const before = turns.slice(0, turns.indexOf(turn)).filter((other) => !isOver(other)).length
      const text = noteOf(turn, before)
      if (note.textContent !== text) note.textContent = text
      item.hidden = turn.state === 'failed' && isRepeated(turn, turns)
      if (state === turn.state) return
      state = turn.state
      item.dataset['state'] = state
      item.ariaBusy = String(state === 'answering') // screen readers wait for the whole answer
      withdraw.hidden = state !== 'waiting'
      again.hidden = state !== 'failed'
    },
  }
}

export const isOver = ({ state }: Turn): boolean => state === 'done' || state === 'stopped' || state === 'failed'

/** The same messages were sent again later: this failure is of no interest any more. */
function isRepeated(turn: Turn, turns: readonly Turn[]): boolean {
  const sent = JSON.stringify(turn.messages)
  return turns.slice(turns.indexOf(turn) + 1).some(({ messages }) => JSON.stringify(messages) === sent)
}
