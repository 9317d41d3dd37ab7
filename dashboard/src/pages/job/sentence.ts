/** A job in words: what it is, then why. */
import type { AttemptSpan, JobTrace } from '../../../../src/core/live.ts'
import { count, counted, duration } from '../../format.ts'
import { ordinal } from '../jobs/rows.ts'
import { cutsOf } from './axis.ts'

export interface Told {
  readonly title: string
  readonly detail: string
}

export function tell(trace: JobTrace, nowMs: number): Told {
  const { row, counts } = trace
  const took = duration(row.totalMs ?? nowMs - row.acceptedAtMs)
  const known = row.totalMs !== null
  switch (row.state) {
    case 'queued':
    case 'waiting':
    case 'delayed':
      return waiting(trace, took)
    case 'leased':
      return running(trace, took)
    case 'done':
      return { title: sentences(known ? `Done in ${took}` : 'Done', happened(trace)), detail: story(trace) }
    case 'failed':
      return {
        title: `${known ? `Failed after ${took}` : 'Failed'}: ${full(row.error?.message ?? 'nobody knows why')}`,
        detail: story(trace),
      }
    case 'canceled':
      return {
        title: known ? `Canceled after ${took}.` : 'Canceled.',
        detail:
          counts.stored > 0
            ? `${counted(counts.stored, 'token')} ${counts.stored === 1 ? 'is' : 'are'} stored and can be read.`
            : 'It had written nothing yet.',
      }
    case 'expired':
      return {
        title: 'Expired: its deadline came before its turn.',
        detail: `${full(row.error?.message ?? 'It was never started')} It can be run again.`,
      }
  }
}

function waiting({ row, place }: JobTrace, took: string): Told {
  if (row.state === 'delayed' && place === null)
    return { title: `Waits for its time, for ${took} now.`, detail: row.waitsFor === null ? '' : full(row.waitsFor) }
  const title = `${place === null ? 'Waits in line' : `${ordinal(place.position)} in line`}, for ${took} now.`
  if (place === null) return { title, detail: row.waitsFor === null ? '' : `It waits for ${full(row.waitsFor)}` }
  const verb = place.tokensAhead === 1 ? 'is' : 'are'
  const ahead = `${counted(place.tokensAhead, 'token')} ${verb} to be served before it`
  const eta = place.etaMs === null ? 'how long that takes isn’t known yet' : `about ${duration(place.etaMs)} more`
  const why = row.waitsFor === null || / in line/.test(row.waitsFor) ? '' : ` It waits for ${full(row.waitsFor)}`
  return { title, detail: `${ahead}, ${eta}.${why}` }
}

function running(trace: JobTrace, took: string): Told {
  const { attempts, counts } = trace
  const last = attempts.at(-1)
  const where = last === undefined ? '' : ` at ${last.deployment}`
  if (counts.stored === 0)
    return { title: `Waits for its first token${where}, ${took} after it came.`, detail: story(trace) }
  return {
    title: sentences(`Runs${where}, for ${took} now: ${counted(counts.stored, 'token')} so far`, happened(trace)),
    detail: story(trace),
  }
}

/** "One attempt failed, one connection was cut, no token was lost": only what is known. */
function happened(trace: JobTrace): string {
  const failed = trace.attempts.filter(({ error }) => error !== null)
  const lost = failed.filter(isLost).length
  const cuts = cutsOf(trace, Number.POSITIVE_INFINITY).length
  const told = [
    lost > 0 && `${words(lost)} worker${lost === 1 ? '' : 's'} died`,
    failed.length > lost && `${words(failed.length - lost)} attempt${failed.length - lost === 1 ? '' : 's'} failed`,
    cuts > 0 && `${words(cuts)} connection${cuts === 1 ? ' was' : 's were'} cut`,
  ].filter((one) => one !== false)
  const { lost: tokens, shownTwice } = trace.counts
  if (told.length > 0 && tokens !== null)
    told.push(tokens === 0 ? 'no token was lost' : `${counted(tokens, 'token')} ${tokens === 1 ? 'was' : 'were'} lost`)
  if (shownTwice !== null && shownTwice > 0)
    told.push(`${counted(shownTwice, 'token')} ${shownTwice === 1 ? 'was' : 'were'} shown twice`)
  return told.join(', ')
}

const isLost = ({ error }: AttemptSpan): boolean => /worker/i.test(error ?? '')

/** What happened to each attempt, and to whoever read. */
function story(trace: JobTrace): string {
  const told: string[] = []
  let before = 0
  for (const [at, attempt] of trace.attempts.entries()) {
    if (attempt.error === null) {
      before += attempt.tokens
      if (attempt.deployment === '') told.push(untold(attempt))
      continue
    }
    const next = trace.attempts[at + 1]
    const stopped = before + attempt.tokens
    const when = attempt.tokens === 0 ? 'gave nothing' : `stopped after token ${count(stopped)}`
    told.push(`${attempt.deployment} ${when} (${attempt.error})${went(attempt, next, stopped)}.`)
    before = next?.mode === 'restart' ? 0 : stopped
  }
  for (const { fromMs, toMs, atToken, tokens } of cutsOf(trace, Number.POSITIVE_INFINITY)) {
    told.push(`At ${duration(fromMs)} the reader’s connection was cut, after token ${count(atToken)}.`)
    told.push(
      toMs === null
        ? `Nobody reads since; ${counted(tokens, 'token')} wait${tokens === 1 ? 's' : ''} in the log.`
        : `It came back after ${duration(toMs - fromMs)}, and the ${counted(tokens, 'token')} made meanwhile ` +
            'came in one write.',
    )
  }
  return told.join(' ')
}

function untold({ spans, tokens }: AttemptSpan): string {
  const by = tokens === 0 ? '' : `; ${counted(tokens, 'token')} ${tokens === 1 ? 'was' : 'were'} stored by then`
  return `What happened in its first ${duration(spans.at(-1)?.toMs ?? 0)} is not known any more${by}.`
}

function went(failed: AttemptSpan, next: AttemptSpan | undefined, stopped: number): string {
  if (next === undefined) return ''
  // From the last token on, whoever reads waits
  const endMs = (failed.spans.findLast(({ part }) => part === 'tokens') ?? failed.spans.at(-1))?.toMs
  const began = next.spans[0]
  const wrote = next.spans.find(({ part }) => part === 'tokens') ?? next.spans.at(-1)
  const first = next.mode !== 'restart' && failed.tokens === 0 ? began : wrote
  const later = endMs == null || first === undefined ? '' : `, ${duration(Math.max(0, first.fromMs - endMs))} later`
  if (next.mode === 'restart') return `; ${next.deployment} began anew${later}`
  return failed.tokens === 0
    ? `; ${next.deployment} was asked${later}`
    : `; ${next.deployment} went on at ${count(stopped + 1)}${later}`
}

const WORDS = ['no', 'one', 'two', 'three', 'four', 'five', 'six']
const words = (value: number): string => WORDS[value] ?? count(value)

const upper = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1)
const full = (text: string): string => (/[.?]$/.test(text) ? text : `${text}.`)
const sentences = (first: string, second: string): string =>
  second === '' ? full(first) : `${full(first)} ${upper(full(second))}`
