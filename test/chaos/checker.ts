/**
 * The offline checker: does a history keep the promises? A pure function; it says what is wrong, and is shown histories
 * with planted bugs (checker.test.ts) to prove that it would.
 */
import { checkReader, tokensOf } from './check-reader.ts'
import { checkUsage } from './check-usage.ts'
import type { Acked, Answer, Final, History, UpstreamCall } from './history.ts'
import { Losses } from './losses.ts'

/** Every violation, each with its job. Empty = all promises kept. */
export function check(history: History): string[] {
  const wrong: string[] = []
  const losses = new Losses(history.losses ?? [])
  const keys = new Map<string, Acked>()
  for (const job of history.acked) {
    const known = keys.get(job.key)
    if (known !== undefined && known.id !== job.id && !losses.covers(known.ackedAtMs))
      wrong.push(`J4 ${job.id}: its key was ${known.id} before`)
    keys.set(job.key, job)
    const final = history.finals.get(job.id)
    if (final !== undefined) {
      wrong.push(...checkLog(job, final))
      const { canceledAtMs } = job
      if (canceledAtMs !== undefined && final.state !== 'canceled' && !losses.covers(canceledAtMs))
        wrong.push(`S2 ${job.id}: was told canceled, and is ${final.state}`)
    } else if (!losses.covers(job.ackedAtMs)) wrong.push(`J1 ${job.id}: acknowledged and lost`)
  }
  for (const reader of history.readers) wrong.push(...checkReader(reader, history.finals.get(reader.job), losses))
  for (const answer of history.answers ?? []) wrong.push(...checkAnswer(answer, history.finals.get(answer.job), losses))
  wrong.push(...checkLanes(history, losses), ...checkUsage(history))
  return wrong
}

function checkLog(job: Acked, { id, state, log }: Final): string[] {
  const wrong: string[] = []
  log.forEach((event, i) => {
    if (Number(event.id.split('-')[1]) !== i + 1) wrong.push(`S1 ${id}: record ${i + 1} of the log is ${event.id}`)
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

/** A JSON answer is whole, and is the one that is stored. */
function checkAnswer(answer: Answer, final: Final | undefined, losses: Losses): string[] {
  const { job, key, tokens, text, status, atMs } = answer
  if (status !== 200) return [`E1 ${key}: a plain call was answered with ${status} ${text}`]
  const said = [...text.matchAll(/ tok(\d{6})\./g)].map((m) => Number(m[1]))
  if (said.length !== tokens || said.some((t, i) => t !== i)) return [`E1 ${job}: ${said.length} tokens of ${tokens}`]
  if (losses.covers(atMs)) return []
  const isStored = final?.log.some(({ data }) => data.includes(JSON.stringify(text)))
  return isStored === true ? [] : [`E1 ${job}: was answered, and something else is stored`]
}

/** The upstream writes down when it was told; an answer is over a little before that. */
const CLOCK_MS = 5
/** A canceled call is over when we closed its connection; its upstream, busy with others, notices later. */
const ABORT_NOTICED_MS = 100
/** Of a fleet, the one that closes it is told by another process. */
const FLEET_ABORT_MS = 1_000
/** What a loss undid may be done again for so long. */
const AGAIN_MS = 10_000

/** P1: ids sort by acceptance, and so do a conversation's turns, whatever the clock said. */
function checkOrder(
  lane: string,
  order: readonly Acked[],
  { isFleet = false, finals }: History,
  turns: readonly string[] | undefined,
): string[] {
  const wrong: string[] = []
  order.forEach((job, i) => {
    if (!isFleet && i > 0 && job.id <= order[i - 1].id)
      wrong.push(`P1 ${lane}: ${job.id} sorts before ${order[i - 1].id}`)
  })
  if (turns === undefined) return wrong
  const stored = order.filter(({ id }) => finals.has(id))
  const places = new Map(stored.map(({ id, place }) => [id, place]))
  const seen = turns.filter((id) => places.has(id))
  if (seen.some((id, i) => i > 0 && places.get(id)! < places.get(seen[i - 1])!))
    wrong.push(`P1 ${lane}: its turns are not in order`)
  if (seen.length !== stored.length || new Set(seen).size !== seen.length)
    wrong.push(`J1 ${lane}: ${seen.length} turns of ${stored.length} jobs`)
  return wrong
}

interface Made {
  readonly call: UpstreamCall
  readonly place: number
  readonly id: string
}

/** J3: calls of one lane never overlap, and go in order; one that a crash cut off may be made again. */
function checkLanes(history: History, losses: Losses): string[] {
  const { acked, calls, finals, turns, isFleet = false, isolated = [] } = history
  const wrong: string[] = []
  const lanes = Map.groupBy(
    acked.filter((j) => j.lane !== null),
    (j) => j.lane!,
  )
  const byUser = Map.groupBy(calls, (c) => c.user)
  const abortMs = isFleet ? FLEET_ABORT_MS : ABORT_NOTICED_MS
  /** Its worker could not be told that it was over. */
  const isUnreachable = ({ path = '', startMs }: UpstreamCall, untilMs: number): boolean =>
    isolated.some(({ worker, fromMs, toMs }) => path.startsWith(`/${worker}/`) && fromMs <= untilMs && startMs <= toMs)
  for (const [lane, jobs] of lanes) {
    const order = jobs.toSorted((a, b) => a.place - b.place)
    wrong.push(...checkOrder(lane, order, history, turns.get(lane)))
    const made: Made[] = order
      .flatMap(({ key, place, id }) => (byUser.get(key) ?? []).map((call) => ({ call, place, id })))
      .toSorted((a, b) => a.call.startMs - b.call.startMs)
    made.forEach((now, i) => {
      const before = made[i - 1]
      if (before === undefined || losses.isAfter(before.call.startMs, AGAIN_MS)) return
      const overlapMs = (before.call.endMs ?? Infinity) - now.call.startMs
      const state = finals.get(before.id)?.state
      if (overlapMs > (state === 'canceled' ? abortMs : CLOCK_MS) && !isUnreachable(before.call, now.call.startMs))
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
