/** The words for a turn and its cuts. */
import type { Cut, Turn } from '@sluice/client'

export const duration = (ms: number): string => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`)

/** A page can't tell a lost connection from a dead server, unless it killed that server. */
export const cutText = ({ tokens, awayMs }: Cut, isServerDead: boolean): string =>
  awayMs !== null
    ? `cut at token ${tokens}, back after ${duration(awayMs)}, none lost`
    : isServerDead
      ? `cut at token ${tokens}, it continues when the server is back`
      : `cut at token ${tokens}, reconnecting…`

/** `ahead`: turns of this conversation that are answered before it. */
export function noteOf({ state, answer, place, error }: Turn, ahead: number): string {
  if (state === 'sending') return 'Sending…'
  if (state === 'stopped') return 'Stopped'
  if (state === 'failed') return error?.message ?? 'No answer.'
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

/** A conversation without a name is called by its first question. */
export const nameOf = (question: string): string => {
  const plain = withoutSwitches(question)
    .replace(/[\s#*`>]+/g, ' ')
    .trim()
  return plain.length > 48 ? `${plain.slice(0, 47).trimEnd()}…` : plain
}

/** The demo model's switches, at the end of a message. */
export const switchesOf = (question: string): string => /\bdemo:(?:[ \t]*[a-z_]+=[\d.]+)+\s*$/.exec(question)?.[0] ?? ''
export const withoutSwitches = (question: string): string =>
  question.slice(0, question.length - switchesOf(question).length).trimEnd()
