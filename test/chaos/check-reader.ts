/** Whether a reader was told a job's log, all of it, in order, and only that (S1). Part of checker.ts. */
import type { Final, Reader, Seen } from './history.ts'
import type { Losses } from './losses.ts'

const seqOf = (event: Seen): number => Number(event.id.split('-')[1])
const isError = (event: Seen | undefined): boolean => event?.data.startsWith('{"error"') === true
const codeOf = (event: Seen): string => (JSON.parse(event.data) as { error: { code: string } }).error.code

/** The log is not what it was, or there is none: told instead of an answer, or as the last event of one. */
export const LOST = ['cursor_stale', 'job_not_found', 'job_gone', 'job_lost']

/** Indices of the tokens that count: those since the last reset. */
export function tokensOf(log: readonly Seen[]): number[] {
  const reset = log.findLastIndex((e) => e.event === 'reset')
  return log
    .slice(reset + 1)
    .flatMap((e) =>
      [...(e.event === 'chunk' || e.event === '' ? e.data : '').matchAll(/"content":" tok(\d{6})\./g)].map((m) =>
        Number(m[1]),
      ),
    )
}

function isSame(dialect: Reader['dialect'], shown: Seen, stored: Seen): boolean {
  // Chat renders all but the chunks in words of its own
  if (dialect === 'chat') return !shown.data.startsWith('{"id"') || shown.data === stored.data
  // A frame holds the record's JSON among its own: its value is what can be compared
  return (
    shown.event === stored.event &&
    shown.data === (dialect === 'socket' ? JSON.stringify(JSON.parse(stored.data)) : stored.data)
  )
}

export function checkReader(reader: Reader, final: Final | undefined, losses: Losses): string[] {
  const { job, seen } = reader
  const last = seen.at(-1)
  const wrong = [...checkGaps(reader, losses), ...checkEnd(reader, final, losses)]
  // Told that it is void, or over before the loss: what it was shown meanwhile may be gone
  const code = reader.refused ?? (isError(last) ? codeOf(last!) : null)
  const endIsStored = final?.log.some(({ id }) => id === last?.id) === true
  const isVoid =
    (code !== null && LOST.includes(code)) || (reader.complete && !endIsStored && losses.covers(last?.atMs))
  if (final === undefined)
    return seen.length === 0 || losses.covers(last?.atMs) || (isVoid && losses.anyBy(last?.atMs))
      ? wrong
      : [...wrong, `S1 ${job}: was read, and is not there`]
  const shown = seen.slice(seen.findLastIndex((e) => e.event === 'gap') + 1)
  return [...wrong, ...checkShown(reader, isVoid ? shown.filter((e) => !losses.covers(e.atMs)) : shown, final)]
}

/** Between two gaps everything is in order, and there is no gap for nothing. */
function checkGaps({ job, dialect, seen }: Reader, losses: Losses): string[] {
  const wrong: string[] = []
  let before = 0
  for (const event of seen) {
    if (event.event === 'gap') {
      if (!losses.anyBy(event.atMs)) wrong.push(`S1 ${job}: was told a gap where nothing was lost`)
      before = 0
      continue
    }
    const seq = seqOf(event)
    if (seq <= before) wrong.push(`S1 ${job}: ${event.id} came after ${before} (${dialect})`)
    if (dialect !== 'chat' && seq > before + 1) wrong.push(`S1 ${job}: a gap before ${event.id}`)
    before = seq
  }
  return wrong
}

/** What it was shown is what is stored. */
function checkShown({ job, dialect }: Reader, shown: readonly Seen[], final: Final): string[] {
  const wrong: string[] = []
  const log = new Map(final.log.map((e) => [e.id, e]))
  let before = 0
  for (const event of shown) {
    const seq = seqOf(event)
    if (dialect === 'chat' && final.log.some((e) => e.event === 'chunk' && seqOf(e) > before && seqOf(e) < seq))
      wrong.push(`S1 ${job}: a chunk is missing before ${event.id} (chat)`)
    const stored = log.get(event.id)
    // That its cursor is lost has the cursor's own number
    if (stored === undefined && !(isError(event) && LOST.includes(codeOf(event))))
      wrong.push(`S1 ${job}: ${event.id} was shown and is not in the log`)
    else if (stored !== undefined && !isSame(dialect, event, stored))
      wrong.push(`S1 ${job}: ${event.id} was something else when it was shown`)
    before = seq
  }
  return wrong
}

/** It was told how it ended, and truly. */
function checkEnd(reader: Reader, final: Final | undefined, losses: Losses): string[] {
  const { job, dialect, seen, complete, refused } = reader
  const wrong: string[] = []
  const last = seen.at(-1)
  if (complete && dialect !== 'chat' && last?.event !== 'end') wrong.push(`S1 ${job}: told complete without an end`)
  const wasLost = losses.anyBy(last?.atMs ?? Infinity)
  const isTold = refused !== undefined && (dialect === 'chat' || (LOST.includes(refused) && wasLost))
  if (!complete && !isTold)
    wrong.push(`S1 ${job}: was never told its end, and stood at ${last?.id || refused || 'nothing'} (${dialect})`)
  if (refused !== undefined && LOST.includes(refused) && !wasLost)
    wrong.push(`S1 ${job}: was refused (${refused}) where nothing was lost`)
  if (final === undefined || losses.covers(last?.atMs)) return wrong
  if (last?.data === '[DONE]' && final.state !== 'done') wrong.push(`S1 ${job}: was told [DONE], and is ${final.state}`)
  const restarted = final.log.some(({ event }) => event === 'reset')
  const told = refused ?? (isError(last) ? codeOf(last!) : null)
  const isTrue =
    told === null ||
    final.state !== 'done' ||
    (told === 'stream_restarted' && restarted) ||
    (LOST.includes(told) && wasLost) ||
    told === STOPPED
  if (dialect === 'chat' && !isTrue) wrong.push(`S1 ${job}: was told ${told}, and is done`)
  return wrong
}

/** It did not come back: the run was over. */
export const STOPPED = 'stopped reading'
