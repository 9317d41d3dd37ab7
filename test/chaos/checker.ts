/**
 * The offline checker: does a history keep the promises? A pure function; it says what is wrong, and is shown histories
 * with planted bugs (checker.test.ts) to prove that it would.
 */
import type { Acked, Final, History, Reader, Seen } from './history.ts'

const seqOf = (event: Seen): number => Number(event.id.split('-')[1])

/** Every violation, each with its job. Empty = all promises kept. */
export function check(history: History): string[] {
  const wrong: string[] = []
  const keys = new Map<string, string>()
  for (const job of history.acked) {
    const known = keys.get(job.key)
    if (known !== undefined && known !== job.id) wrong.push(`J4 ${job.id}: its key was ${known} before`)
    keys.set(job.key, job.id)
    const final = history.finals.get(job.id)
    if (final === undefined) wrong.push(`J1 ${job.id}: acknowledged and lost`)
    else wrong.push(...checkLog(job, final))
  }
  for (const reader of history.readers) wrong.push(...checkReader(reader, history.finals.get(reader.job)))
  wrong.push(...checkLanes(history))
  return wrong
}

function checkLog(job: Acked, { id, state, log }: Final): string[] {
  const wrong: string[] = []
  log.forEach((event, i) => {
    if (seqOf(event) !== i + 1) wrong.push(`S1 ${id}: record ${i + 1} of the log is ${event.id}`)
  })
  const ends = log.filter((e) => e.event === 'end')
  if (ends.length !== 1 || log.at(-1)?.event !== 'end')
    wrong.push(`J1 ${id}: ${ends.length} ends, and the last record is ${log.at(-1)?.event}`)
  const said = log.at(-1)?.event === 'end' ? (JSON.parse(log.at(-1)!.data) as { state: string }).state : null
  if (said !== state) wrong.push(`J1 ${id}: its log says ${said}, its state ${state}`)
  if (state !== 'done' && !(job.canceled && state === 'canceled'))
    wrong.push(`J1 ${id}: ended ${state}: ${log.at(-1)?.data}`)
  const attempts = log.filter((e) => e.event === 'attempt').map((e) => (JSON.parse(e.data) as { n: number }).n)
  if (attempts.some((n, i) => i > 0 && n <= attempts[i - 1])) wrong.push(`J2 ${id}: attempts ${attempts.join(', ')}`)
  const tokens = tokensOf(log)
  if (tokens.some((t, i) => t !== i))
    wrong.push(`J2 ${id}: its tokens are not in order: ${tokens.slice(0, 30).join(' ')}`)
  if (state === 'done' && tokens.length !== job.tokens) wrong.push(`J2 ${id}: ${tokens.length} tokens of ${job.tokens}`)
  return wrong
}

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

function checkReader(reader: Reader, final: Final | undefined): string[] {
  const wrong: string[] = []
  const { job, dialect, seen, complete } = reader
  if (final === undefined) return seen.length === 0 ? [] : [`S1 ${job}: was read, and is not there`]
  const log = new Map(final.log.map((e) => [e.id, e]))
  seen.forEach((event, i) => {
    const before = i === 0 ? 0 : seqOf(seen[i - 1])
    if (seqOf(event) <= before) wrong.push(`S1 ${job}: ${event.id} came after ${before} (${dialect})`)
    if (dialect !== 'chat' && seqOf(event) > before + 1) wrong.push(`S1 ${job}: a gap before ${event.id}`)
    if (
      dialect === 'chat' &&
      [...log.values()].some((e) => e.event === 'chunk' && seqOf(e) > before && seqOf(e) < seqOf(event))
    )
      wrong.push(`S1 ${job}: a chunk is missing before ${event.id} (chat)`)
    const stored = log.get(event.id)
    if (stored === undefined) wrong.push(`S1 ${job}: ${event.id} was shown and is not in the log`)
    else if (!isSame(dialect, event, stored)) wrong.push(`S1 ${job}: ${event.id} was something else when it was shown`)
  })
  const last = seen.at(-1)
  if (complete && dialect !== 'chat' && last?.event !== 'end') wrong.push(`S1 ${job}: told complete without an end`)
  if (!complete && dialect !== 'chat')
    wrong.push(`S1 ${job}: was never told its end, and stood at ${last?.id ?? 'nothing'} (${dialect})`)
  if (last?.data === '[DONE]' && final.state !== 'done') wrong.push(`S1 ${job}: was told [DONE], and is ${final.state}`)
  return wrong
}

/** The upstream writes down when it was told; an answer is over a little before that. */
const CLOCK_MS = 5
/** A canceled call is over when we closed its connection; its upstream, busy with others, notices later. */
const ABORT_NOTICED_MS = 100

/** P1: ids sort by acceptance, and so do a conversation's turns, whatever the clock said. */
function checkOrder(lane: string, order: readonly Acked[], turns: readonly string[] | undefined): string[] {
  const wrong: string[] = []
  order.forEach((job, i) => {
    if (i > 0 && job.id <= order[i - 1].id) wrong.push(`P1 ${lane}: ${job.id} sorts before ${order[i - 1].id}`)
  })
  if (turns === undefined) return wrong
  const places = new Map(order.map(({ id }, place) => [id, place]))
  const seen = turns.flatMap((id) => places.get(id) ?? [])
  if (seen.some((place, i) => i > 0 && place <= seen[i - 1])) wrong.push(`P1 ${lane}: its turns are not in order`)
  if (seen.length !== order.length) wrong.push(`J1 ${lane}: ${seen.length} turns of ${order.length} jobs`)
  return wrong
}

/** J3: calls of one lane never overlap, and go in order; one that a crash cut off may be made again. */
function checkLanes({ acked, calls, finals, turns }: History): string[] {
  const wrong: string[] = []
  const lanes = Map.groupBy(
    acked.filter((j) => j.lane !== null),
    (j) => j.lane!,
  )
  const byUser = Map.groupBy(calls, (c) => c.user)
  for (const [lane, jobs] of lanes) {
    const order = jobs.toSorted((a, b) => a.place - b.place)
    wrong.push(...checkOrder(lane, order, turns.get(lane)))
    const made = order
      .flatMap((job, place) => (byUser.get(job.key) ?? []).map((call) => ({ call, place, id: job.id })))
      .toSorted((a, b) => a.call.startMs - b.call.startMs)
    made.forEach((now, i) => {
      const before = made[i - 1]
      if (before === undefined) return
      const overlapMs = (before.call.endMs ?? Infinity) - now.call.startMs
      const state = finals.get(before.id)?.state
      if (overlapMs > (state === 'canceled' ? ABORT_NOTICED_MS : CLOCK_MS))
        wrong.push(
          `J3 ${lane}: ${now.id} began while ${before.id} (${state}) was answered, ${overlapMs.toFixed(1)} ms ` +
            'before its end',
        )
      if (now.place < before.place)
        wrong.push(`J3 ${lane}: ${now.id} was called after ${before.id}, which comes behind it`)
    })
  }
  return wrong
}
