/** How the commands that move stores report: progress while they work, and what was moved. */
import type { Count, Progress } from '../app/portable.ts'
import { systemClock } from '../core/clock.ts'
import type { Args, Output } from './command.ts'
import { columns } from './table.ts'

const TOLD_EVERY_MS = 1_000

/** Now and then a line. */
export function progressOn(out: Output): Progress {
  let toldMono = systemClock.monoMs()
  return (section, items) => {
    const now = systemClock.monoMs()
    if (now - toldMono < TOLD_EVERY_MS) return
    toldMono = now
    out.note(`${section}: ${items}`)
  }
}

/** As JSON where that was asked for. */
export function print(args: Args, out: Output, what: object, counts: readonly Count[], last: string): void {
  if (args.has('json')) {
    out.print(JSON.stringify({ ...what, sections: counts }))
    return
  }
  const rows = counts.map(({ section, items, bytes, digest }) => [
    section,
    String(items),
    String(bytes),
    ...(digest === '' ? [] : [digest.slice(0, SHOWN_OF_DIGEST)]),
  ])
  const head = ['SECTION', 'ITEMS', 'BYTES', ...(counts.some(({ digest }) => digest !== '') ? ['DIGEST'] : [])]
  for (const line of columns([head, ...rows])) out.print(line)
  out.note(last)
}

const SHOWN_OF_DIGEST = 16
