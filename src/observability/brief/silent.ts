/** Answers that began, and then brought nothing more: no first token is late, and none has failed yet. */
import type { Brief } from '../../core/live.ts'
import { SILENT_MS } from '../../core/measure.ts'
import type { Situation } from './situation.ts'
import { deployment as linked, MOST, openDeployment } from './why.ts'
import { duration, link, say, strong } from './words.ts'

/** The deployment most of whose answers stand still; null: there is none. */
export function silent({ nowMs, silent: answers, deployments, running }: Situation): Brief | null {
  const [worst] = answers
    .map((each) => {
      const active = deployments.find(({ deployment }) => deployment === each.deployment)?.active ?? running ?? 0
      return { ...each, of: Math.max(each.answers, active) }
    })
    .filter((each) => each.forMs >= SILENT_MS && each.answers / each.of >= MOST)
    .toSorted((a, b) => b.answers - a.answers)
  if (worst === undefined) return null
  const { deployment, of, forMs } = worst
  return {
    kind: 'silent',
    state: [
      say(`${worst.answers} of ${of} answers of `),
      linked(deployment),
      say(` ${worst.answers === 1 ? 'stands' : 'stand'} still: no token for ${duration(forMs)}.`),
    ],
    cause: [say('They began, so it was reached; it stays connected and sends nothing.')],
    harm: [
      say('Nothing is lost: what came is stored. A call that brings nothing is ended by '),
      strong('timeouts.inter_token_ms'),
      say('.'),
    ],
    actions: [openDeployment(deployment), link('Running jobs', '/jobs?state=leased')],
    sinceAtMs: nowMs - forMs,
  }
}
