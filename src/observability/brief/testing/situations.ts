/** Situations for tests of the brief: all is well but for what is given. */
import { SluiceError } from '../../../core/errors.ts'
import type { Brief } from '../../../core/live.ts'
import type { TtftParts } from '../../../core/measure.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import { briefsOf } from '../brief.ts'
import type { DeploymentNow, Paused, Period, Situation } from '../situation.ts'
import { textOf } from '../words.ts'

export const NOW_MS = 1_800_000_000_000
export const USUAL: TtftParts = {
  admission: 6,
  queue: 20,
  retries: 0,
  routing: 2,
  connect: 5,
  upstream: 260,
  delivery: 1,
}
export const parts = (more: Partial<TtftParts>): TtftParts => ({ ...USUAL, ...more })

export const WELL: Period = {
  firstTokens: 60,
  parts: USUAL,
  ttftP95Ms: 420,
  tpots: 60,
  tpotP95Ms: 24,
  tpotP50Ms: 18,
  done: 60,
  failed: 0,
  expired: 0,
  refused: 0,
  judged: 60,
  good: 60,
}

type GivenDeployment = Partial<Omit<DeploymentNow, 'lately'> & DeploymentNow['lately']>

export const deployment = (
  name: string,
  { ttftP95Ms = 400, tpotP50Ms = 18, tpotP95Ms = 24, late: lateCalls = 0, slow = 0, ...more }: GivenDeployment = {},
): DeploymentNow => ({
  model: 'chat',
  deployment: name,
  state: 'up',
  active: 10,
  concurrent: 24,
  coolsForMs: 0,
  failuresInRow: 0,
  lastError: null,
  ttftP95Ms,
  tpotP50Ms,
  ttftSpark: [],
  tpotSpark: [],
  attempts: 100,
  failed: 0,
  nanoUsd: null,
  outForMs: null,
  tpotP50BeforeMs: 18,
  lately: { ttftP95Ms, tpotP50Ms, tpotP95Ms, late: lateCalls, slow },
  ...more,
})

export type Line = Situation['waiting']['models'][number]
export const waits = (model: string, jobs: number, more: Partial<Line> = {}): Line => ({
  ...{ model, jobs, limit: null, most: null },
  ...more,
})
export const pause = (
  share: number,
  { of = {}, ...more }: Partial<Selector> & { of?: Record<string, number> },
): Paused => ({
  ...more,
  share,
  of: new Map(Object.entries(of)),
})

export type Given = Omit<Partial<Situation>, 'now' | 'waiting'> & {
  now?: Partial<Period>
  waiting?: Partial<Situation['waiting']>
}

export const situation = ({ now, waiting = {}, ...more }: Given): Situation => ({
  nowMs: NOW_MS,
  isNew: false,
  goals: { ttftMs: 1_500, tpotMs: 50, good: 0.99 },
  before: { ...WELL, firstTokens: 3_000 },
  since: {},
  running: 24,
  stuckMs: 0,
  stuckModels: [],
  submits: [],
  beforeMinutes: 60,
  delays: { queue: [{ model: 'chat', ms: 9_000 }], retries: [{ model: 'chat', ms: 9_000 }] },
  slots: null,
  loop: null,
  silent: [],
  paused: [],
  deployments: [deployment('vllm-a'), deployment('vllm-b')],
  failures: [],
  retried: [],
  refusals: [],
  store: { error: null, sinceAtMs: null, commitP99Ms: 4 },
  gone: [],
  ...more,
  now: { ...WELL, ...now },
  waiting: {
    ...{ jobs: 0, tokens: 0, limit: null, most: null },
    models: [waits('chat', waiting.jobs ?? 1, { limit: waiting.limit ?? null, most: waiting.most ?? null })],
    ...waiting,
  },
})

export const FULL = new SluiceError('storage_full').wire
export const late = (more: Partial<TtftParts>): Partial<Period> => ({ ttftP95Ms: 4_100, parts: parts(more) })
export const QUEUED = late({ queue: 2_400, upstream: 400 })
export const first = (given: Given): Brief => briefsOf(situation(given))[0]
export const all = ({ state, cause, harm }: Brief): string => [state, cause, harm].map(textOf).join(' | ')
