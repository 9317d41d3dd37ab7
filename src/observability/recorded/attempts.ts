import { counter, counters, histograms } from '../../core/numbers.ts'
import { FROM_CACHE } from '../../core/ports/work.ts'
import { type By, NONE, type Recorded } from './recorded.ts'

export function attempts(by: By): Recorded {
  const ended = counter('attempts', 'Attempts that ended')
  const failed = counter('attempts_failed', 'Attempts that failed')
  const cut = counter('answers_cut', 'Answers that a limit ended')
  const started = counters(
    'attempts_started',
    'Attempts at providers: the first of a job, a retry there, or a fallback to another deployment',
    'model',
    'deployment',
    'as',
  )
  const hedged = counters(
    'calls_hedged',
    'Attempts that had a second call, by where the one ran that is over, which one went on, and how the other ended',
    'model',
    'deployment',
    'won',
    'end',
  )
  const byCode = counters('attempts_ended', 'Attempts that ended, by error', 'model', 'deployment', 'code')
  const stalls = counters('stalls', 'Pauses of a second or more between two chunks', 'model', 'deployment')
  const overhead = histograms('overhead_ms', 'What Sluice itself took: neither line nor provider', 'model')
  const chunk = histograms('tokens_per_chunk', 'Tokens of an answer for each chunk that brought some', 'model')
  return {
    metrics: [ended, failed, cut],
    families: [started, hedged, byCode, stalls, overhead, chunk],
    observe(fact) {
      switch (fact.type) {
        case 'answer-cut':
          return cut.add()
        case 'attempt-started': {
          const as = fact.attempt === 1 ? 'first' : fact.isFallback ? 'fallback' : 'retry'
          return started.of(by.model(fact.model), fact.deployment, as).add()
        }
        case 'attempt-hedged':
          return hedged.of(by.model(fact.model), fact.deployment, fact.won, fact.end).add()
        case 'answer-stalled':
          return stalls.of(by.model(fact.model), fact.deployment).add()
        case 'attempt-ended': {
          const { code, usage, overheadMs, chunks = 0 } = fact
          const model = by.model(fact.model)
          ended.add()
          if (code !== null) failed.add()
          byCode.of(model, fact.deployment, code ?? NONE).add()
          if (overheadMs !== undefined) overhead.of(model).record(overheadMs)
          const tokens = fact.deployment === FROM_CACHE ? 0 : (usage?.completionTokens ?? 0)
          if (chunks > 0 && tokens > 0) chunk.of(model).record(tokens / chunks)
          return
        }
        default:
      }
    },
  }
}
