/** What a difference means, in words, by rule: only from what was measured; where no part explains it, it says so. */
import type { Attribution, AttributionPart, Effect, Part } from '../core/comparison.ts'
import type { MeasuredRun } from './effects.ts'
import { msText, paceText, percentText } from './words.ts'

/** A part that explains less of a difference is not its cause. */
const EXPLAINS = 0.6

export interface Cause {
  /** "It is the queue, not the model."; null: not clear. */
  readonly short: string | null
  readonly cause: string | null
  readonly next: string | null
}

const UNCLEAR: Cause = { short: null, cause: null, next: null }

/** The part that most of the difference comes from; null: none explains enough. */
export function mainPart({ parts, deltaMs }: Attribution): AttributionPart | null {
  const signed = (part: AttributionPart): number => part.deltaMs * Math.sign(deltaMs)
  const [largest] = [...parts].sort((a, b) => signed(b) - signed(a))
  if (largest === undefined || largest.part === 'unexplained') return null
  return signed(largest) >= EXPLAINS * Math.abs(deltaMs) ? largest : null
}

export function causeOf(
  changed: readonly Effect[],
  attributions: readonly Attribution[],
  before: MeasuredRun,
  after: MeasuredRun,
): Cause {
  const [effect] = changed
  if (effect === undefined) return UNCLEAR
  const of = effect.metric.startsWith('ttft') ? effect.metric : isPace(effect) ? 'tpot-mean' : null
  const attribution = attributions.find((each) => each.of === of)
  if (attribution === undefined) return UNCLEAR
  const main = mainPart(attribution)
  if (main === null) return { ...UNCLEAR, short: 'No part of it explains most of that: the cause is not clear.' }
  const isWorse = effect.outcome === 'worse'
  const text = isPace(effect) ? paceText : msText
  const share = `${SHORT[main.part]} ${text(main.beforeMs)} → ${text(main.afterMs)}`
  return {
    short: isPace(effect) ? PACE_SHORT[main.part] : TTFT_SHORT[main.part],
    cause: `${share}${detailOf(main.part, before, after)}`,
    next: isWorse ? NEXT[main.part] : null,
  }
}

export const isPace = ({ metric }: Effect): boolean => metric === 'tpot-p50' || metric === 'ms-per-char'

const SHORT: Readonly<Record<Part, string>> = {
  queue: 'waiting in line',
  gateway: 'Sluice’s own work',
  retries: 'attempts that failed first',
  network: 'the network',
  prefill: 'the provider until its first token',
  decode: 'the model’s pace',
  delivery: 'delivery to the reader',
  contention: 'waiting under load',
  unexplained: 'unexplained',
}

const TTFT_SHORT: Readonly<Record<Part, string>> = {
  queue: 'It is the queue, not the model.',
  gateway: 'It is Sluice’s own work, not the model.',
  retries: 'It is failed attempts before the one that answered.',
  network: 'It is the network, not the model.',
  prefill: 'It is the provider until its first token, not the queue.',
  decode: 'It is the model.',
  delivery: 'It is delivery to the reader, not the model.',
  contention: 'It is waiting under load: an idle request is as fast as before.',
  unexplained: 'The cause is not clear.',
}

const PACE_SHORT: Readonly<Record<Part, string>> = {
  ...TTFT_SHORT,
  decode: 'It is the model, not the queue.',
  delivery: 'It is the way from the model to the reader, not the model.',
}

const NEXT: Readonly<Record<Part, string | null>> = {
  queue: 'Raise the limit that jobs wait for, or add a deployment.',
  gateway: 'Look at the event-loop lag and at the guards of the tenant.',
  retries: 'Look at the health of the deployments: which one fails first?',
  network: 'Look at the path: another region, a proxy, new connections for each request?',
  prefill: 'Look at the engine: its own queue, its batch size, its prefix cache, the length of the prompts.',
  decode: 'Look at the engine: its model, its batch size, what else runs on its device.',
  delivery: 'Look for what holds events up: a proxy that buffers, a slow reader.',
  contention: 'Put Sluice or an engine that tells its times in front, to see which queue it is.',
  unexplained: null,
}

/** More about a part, from the requests. */
function detailOf(part: Part, before: MeasuredRun, after: MeasuredRun): string {
  if (part === 'queue') return `; ${shareWaiting(before)} of requests waited, now ${shareWaiting(after)}`
  if (part === 'prefill') {
    const [a, b] = [cachedShare(before), cachedShare(after)]
    if (a !== null && b !== null && Math.abs(a - b) > 0.1)
      return `; of the prompts ${percentText(a)} was cached, now ${percentText(b)}`
  }
  return ''
}

/** Longer than this is no mere hand-over. */
const WAIT_MS = 5

function shareWaiting({ records }: MeasuredRun): string {
  const told = records.filter(({ phase, server }) => phase === 'round' && queueOf(server) !== undefined)
  const waited = told.filter(({ server }) => queueOf(server)! > WAIT_MS).length
  return percentText(told.length === 0 ? 0 : waited / told.length)
}

const queueOf = (server: MeasuredRun['records'][number]['server']): number | undefined =>
  server?.parts?.queue ?? server?.engine?.queue

function cachedShare({ records }: MeasuredRun): number | null {
  let prompt = 0
  let cached = 0
  for (const { phase, tokens } of records) {
    if (phase !== 'round' || tokens.cached === null) continue
    prompt += tokens.prompt ?? 0
    cached += tokens.cached
  }
  return prompt === 0 ? null : cached / prompt
}
