/** Made-up frames of every kind, for pages that are built and looked at without a server. */
import type {
  Brief,
  ChangeRow,
  Chart,
  DeploymentRow,
  Figure,
  Foot,
  Hello,
  JobRow,
  JobTrace,
  Now,
  Range,
} from '../../src/core/live.ts'
import { GLOSSARY } from '../../src/core/measure.ts'
import { dice } from './dice.ts'

export type Scenario = 'late' | 'well' | 'failing' | 'unclear' | 'new' | 'load'
export const SCENARIOS: readonly Scenario[] = ['late', 'well', 'failing', 'unclear', 'new', 'load']

const MS = { '15m': 900_000, '1h': 3_600_000, '6h': 21_600_000, '24h': 86_400_000, '7d': 604_800_000 } as const
const STEPS = { '15m': 15_000, '1h': 15_000, '6h': 60_000, '24h': 300_000, '7d': 1_800_000 } as const

export const helloOf = (scenario: Scenario): Hello => ({
  version: '0.9.0',
  node: 'node-a',
  role: 'admin',
  engine: 'embedded',
  durability: 'power',
  publicUrl: 'http://127.0.0.1:4100',
  text: 'shown',
  goals: { ttftMs: 1_500, tpotMs: 50, good: 0.99 },
  noKill: null,
  kills: 'worker',
  models: ['demo', 'chat', 'review'],
  isNew: scenario === 'new',
  minAnswers: 5,
  manyFailed: 0.05,
  glossary: GLOSSARY,
})

export const footOf = (scenario: Scenario, atMs: number): Foot => ({
  atMs,
  nodes: [
    { id: 'node-a', role: 'all', coordinates: true, silentMs: 120 },
    ...(scenario === 'load'
      ? [
          { id: 'node-b', role: 'gateway' as const, coordinates: false, silentMs: 240 },
          { id: 'node-c', role: 'worker' as const, coordinates: false, silentMs: 12_400 },
        ]
      : []),
  ],
  deployments: { all: 3, out: scenario === 'well' || scenario === 'new' ? 0 : 1 },
  logBytes: scenario === 'new' ? 0 : 2.1e9,
  maxLogBytes: 40e9,
  loopLagP99Ms: scenario === 'well' ? 4 : 6,
  storeError:
    scenario === 'failing'
      ? { code: 'store_unavailable', type: 'server_error', param: null, message: 'the disk is full' }
      : null,
})

/** 0: as ever; 1: the change is all there. */
const onset = (atMs: number, sinceMs: number): number => Math.min(1, Math.max(0, (atMs - sinceMs) / 180_000))

export function chartOf(scenario: Scenario, range: Range, nowMs: number): Chart {
  const spanMs = typeof range === 'string' ? MS[range] : range.toMs - range.fromMs
  const stepMs = typeof range === 'string' ? STEPS[range] : Math.max(5_000, Math.ceil(spanMs / 600 / 5_000) * 5_000)
  const endMs = typeof range === 'string' ? nowMs : range.toMs
  const startAtMs = Math.floor((endMs - spanMs) / stepMs) * stepMs
  const buckets = Math.min(600, Math.round(spanMs / stepMs))
  const isBad = scenario === 'late' || scenario === 'failing' || scenario === 'unclear'
  const sinceMs = nowMs - 8 * 60_000
  const at = Array.from({ length: buckets }, (_, index) => startAtMs + index * stepMs)
  const random = at.map((ms) => dice(Math.floor(ms / stepMs)))
  const bad = at.map((ms) => (isBad ? onset(ms, sinceMs) : 0))
  const seconds = stepMs / 1_000
  const isGap = (index: number): boolean => scenario === 'new' || (scenario === 'load' && index > 20 && index < 26)
  const column = (of: (dice: () => number, bad: number) => number): (number | null)[] =>
    at.map((_, index) => (isGap(index) ? null : of(random[index], bad[index])))
  const counts = (of: (dice: () => number, bad: number) => number): number[] =>
    at.map((_, index) => (isGap(index) ? 0 : Math.round(of(random[index], bad[index]) * seconds)))
  const heatRows = [5, 7, 10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320]
  const judged = counts((random) => 1.3 + 0.2 * random())
  return {
    range,
    stepMs,
    startAtMs,
    buckets,
    from: 0,
    ttft: {
      admission: column(() => 4),
      turn: column(() => 0),
      queue: column((random, bad) => 31 + 20 * random() + bad * (2_250 + 250 * random())),
      retries: column((_, bad) => bad * 3),
      routing: column(() => 7),
      connect: column((random) => 10 + 5 * random()),
      upstream: column((random) => 220 + 60 * random()),
      delivery: column(() => 2),
    },
    firstTokens: judged,
    ttftP50: column((random, bad) => 280 + 60 * random() + bad * 2_100),
    ttftP95: column((random, bad) => 430 + 70 * random() + bad * (3_350 + 350 * random())),
    tpotP50: column((random) => 19 + 2 * random()),
    tpotP95: column((random) => 23 + 3 * random()),
    heatRows,
    heat: at.map((_, index) =>
      isGap(index)
        ? []
        : [
            [2, bad[index] > 0.6 ? 1 : 0],
            [3, 2],
            [4, 9 + Math.round(5 * random[index]())],
            [5, 6],
            [6, bad[index] > 0.6 ? 1 : 3],
            [7, bad[index] > 0.6 ? 1 : 3],
            [8 + Math.floor(5 * random[index]()), random[index]() > 0.75 ? 1 : 0],
          ].flatMap(([row, streams]) => (streams > 0 ? [row, streams] : [])),
    ),
    stalls: at.map((_, index) => (!isGap(index) && random[index]() > 0.93 ? 1 : 0)),
    outcomes: {
      done: counts((random, bad) => (1.35 + 0.2 * random()) * (1 - 0.35 * bad)),
      failed: counts((_, bad) => (scenario === 'failing' ? 0.7 * bad : bad > 0 && bad < 0.1 ? 0.15 : 0)),
      canceled: counts((random) => 0.07 * random()),
      expired: counts(() => 0),
      refused: counts(() => (scenario === 'failing' ? 0.3 : 0)),
    },
    tokensOut: counts((random, bad) => (2_150 + 250 * random()) * (1 - 0.46 * bad)),
    tokensIn: counts((random, bad) => (1_350 + 300 * random()) * (1 - 0.35 * bad)),
    tokensCached: counts(() => 420),
    good: judged.map((value, index) => Math.round(value * (0.997 - 0.283 * bad[index]))),
    judged,
    waiting: column((random, bad) => 3 + 3 * random() + bad * 58),
    running: column(() => 24),
    nanoUsd: counts(() => 21_000_000),
  }
}

const figure = (
  value: number | null,
  goal: number | null,
  isWell: boolean,
  spark: readonly (number | null)[],
): Figure => ({
  value,
  goal,
  isWell,
  few: null,
  spark: spark.length > 60 ? spark.filter((_, at) => at % Math.ceil(spark.length / 60) === 0) : spark,
})

export function nowOf(scenario: Scenario, range: Range, atMs: number): Now {
  const chart = chartOf(scenario, range, atMs)
  const isBad = scenario === 'late' || scenario === 'failing' || scenario === 'unclear'
  const isNew = scenario === 'new'
  const perSecond = chart.tokensOut.map((value) => value / (chart.stepMs / 1_000))
  let spent = 0
  return {
    atMs,
    briefs: briefsOf(scenario, atMs),
    period: {
      minutes: typeof range === 'string' ? 5 : null,
      tpotP50Ms: isNew ? null : 20,
      parts: isNew
        ? null
        : { admission: 4, queue: isBad ? 2_400 : 41, retries: 0, routing: 7, connect: 12, upstream: 250, delivery: 2 },
    },
    ttftP95Ms: figure(isNew ? null : isBad ? 4_100 : 412, 1_500, !isBad, chart.ttftP95),
    tpotP95Ms: figure(isNew ? null : 24, 50, true, chart.tpotP95),
    tokensPerSecond: figure(isNew ? null : isBad ? 1_182 : 2_214, null, true, perSecond),
    waitingJobs: figure(isNew ? 0 : isBad ? 64 : 3, null, true, chart.waiting),
    waitingTokens: isNew ? 0 : isBad ? 286_000 : 4_600,
    good: figure(
      isNew ? null : isBad ? 0.714 : 0.997,
      0.99,
      !isBad,
      chart.good.map((value, at) => (chart.judged[at] === 0 ? null : value / chart.judged[at])),
    ),
    spentNanoUsd: figure(
      isNew ? 0 : isBad ? 18.42e9 : 41.87e9,
      null,
      true,
      chart.nanoUsd.map((value) => {
        spent += value
        return isNew ? null : spent
      }),
    ),
    spendForecastNanoUsd: null,
    isSpentEstimated: false,
    deployments: deploymentsOf(scenario, chart),
  }
}

function deploymentsOf(scenario: Scenario, chart: Chart): DeploymentRow[] {
  const isOut = scenario === 'late' || scenario === 'failing'
  const spark = (size: number): (number | null)[] =>
    chart.ttftP50.slice(-30).map((_, at) => size * (1 + 0.1 * Math.sin(at)))
  const row = (model: string, deployment: string, rest: Partial<DeploymentRow>): DeploymentRow => ({
    model,
    deployment,
    state: 'up',
    active: 14,
    concurrent: 24,
    coolsForMs: 0,
    failuresInRow: 0,
    lastError: null,
    ttftP95Ms: 310,
    tpotP50Ms: 18,
    ttftSpark: spark(310),
    tpotSpark: spark(18),
    attempts: 1_284,
    failed: 1,
    nanoUsd: null,
    ...rest,
  })
  if (scenario === 'new')
    return [
      row('demo', 'demo', {
        active: 0,
        concurrent: 16,
        ttftP95Ms: null,
        tpotP50Ms: null,
        ttftSpark: [],
        tpotSpark: [],
        attempts: 0,
        failed: 0,
      }),
    ]
  return [
    row('chat', 'vllm-a', isOut ? { state: 'full', active: 24 } : {}),
    row(
      'chat',
      'vllm-b',
      isOut
        ? {
            state: 'cooling',
            active: 0,
            coolsForMs: 4_200,
            failuresInRow: 96,
            lastError: 'connection refused',
            ttftP95Ms: null,
            tpotP50Ms: null,
            ttftSpark: spark(330).map((value, at) => (at < 14 ? value : null)),
            attempts: 96,
            failed: 96,
          }
        : { active: 9, ttftP95Ms: 330, tpotP50Ms: 34 },
    ),
    row('review', 'openai-eu', { active: 0, concurrent: 50, ttftP95Ms: 660, tpotP50Ms: 11, attempts: 320, nanoUsd: 0 }),
  ]
}

function briefsOf(scenario: Scenario, atMs: number): Brief[] {
  const plain = (text: string) => ({ text })
  const strong = (text: string) => ({ text, strong: true })
  const sinceAtMs = atMs - 8 * 60_000
  if (scenario === 'new')
    return [
      {
        kind: 'new',
        state: [plain('Sluice is up. Nothing was asked yet.')],
        cause: [],
        harm: [],
        actions: [],
        sinceAtMs: null,
      },
    ]
  if (scenario === 'well' || scenario === 'load')
    return [
      {
        kind: 'well',
        state: [plain('All is well. First tokens come in 0.4 s, 99.7% of answers are good.')],
        cause: [plain('4 tenants active, 23 of 48 slots taken, nobody waits longer than 0.3 s.')],
        harm: [],
        actions: [],
        sinceAtMs: null,
      },
    ]
  const late: Brief = {
    kind: 'late',
    state: [plain('First tokens are late: p95 is 4.1 s, the goal 1.5 s. For 8 minutes now.')],
    cause: [
      plain('Of the 2.6 s added on average, '),
      strong('2.4 s is the queue'),
      plain('. '),
      { text: 'vllm-b', strong: true, to: '/models/vllm-b' },
      plain(' refuses connections since 03:04, so 24 of 48 slots of '),
      strong('chat'),
      plain(' are left, all taken.'),
    ],
    harm: [strong('Nothing is lost:'), plain(' 64 jobs wait in line, 41 of them from docs-batch; none was refused.')],
    actions: [
      { text: 'Open vllm-b', to: '/models/vllm-b', strong: true },
      { text: 'Late jobs 112', to: '/jobs?kind=late' },
    ],
    sinceAtMs,
  }
  if (scenario === 'unclear')
    return [
      {
        ...late,
        cause: [
          strong('Cause not clear.'),
          plain(' Of the 2.6 s added on average, 1.1 s is the queue, 1.0 s upstream, 0.4 s connect, 0.1 s Sluice.'),
        ],
      },
    ]
  if (scenario === 'failing')
    return [
      {
        kind: 'failing',
        state: [plain('One answer in three fails. For 8 minutes now.')],
        cause: [
          strong('vllm-b'),
          plain(' answers 500 to every call since 03:04; there is no other deployment for '),
          strong('chat'),
          plain('.'),
        ],
        harm: [strong('312 jobs failed'), plain(', 9 tenants; 24 more are being tried again.')],
        actions: [
          { text: 'Open vllm-b', to: '/models/vllm-b', strong: true },
          { text: 'Failed jobs 312', to: '/jobs?state=failed' },
        ],
        sinceAtMs,
      },
      late,
      { ...late, kind: 'slow' },
    ]
  return [late]
}

const WORDS_OF = [
  'A river is older than its valley. It rises where the ground can hold no more, gathers what the rain brings',
  'Clause 7.2 limits the supplier’s liability to the fees paid in the twelve months before the claim',
  'A derivative tells how fast a value changes when its input moves a little, and in which direction it',
  'Two findings: the lock is taken twice on the slow path, and the test never reaches the branch that',
]

export function jobsOf(scenario: Scenario, atMs: number, from = 0, most = 60): JobRow[] {
  if (scenario === 'new') return []
  const states = ['leased', 'done', 'queued', 'leased', 'done', 'done', 'failed', 'done', 'canceled', 'done'] as const
  return Array.from({ length: most }, (_, index): JobRow => {
    const at = from + most - index
    const random = dice(at)
    const state = states[at % states.length]
    const isWaiting = state === 'queued'
    const queue = 30 + (scenario === 'late' ? 2_400 : 60) * random()
    const upstream = 200 + 80 * random()
    const tokens = isWaiting ? 0 : Math.round(60 + 900 * random())
    return {
      job: `job_01KB3${(at * 7_919).toString(36).toUpperCase().padStart(7, '0')}`,
      state,
      tenant: ['acme', 'docs-batch', 'tutor', 'review-bot', 'support'][at % 5],
      model: at % 5 === 3 ? 'review' : 'chat',
      acceptedAtMs: atMs - index * 1_900 - 400,
      ttft: isWaiting ? null : { admission: 4, queue, routing: 3, connect: 11, upstream, delivery: 1 },
      ttftMs: isWaiting ? null : queue + upstream + 19,
      totalMs: state === 'done' || state === 'failed' ? 1_000 + 20 * tokens : null,
      attempts: at % 9 === 0 ? 2 : 1,
      tokens,
      nanoUsd: isWaiting ? null : tokens * 3_400,
      isEstimated: state === 'canceled',
      error:
        state === 'failed'
          ? {
              code: 'upstream_unavailable',
              type: 'server_error',
              param: null,
              message: 'No deployment of chat answers.',
            }
          : null,
      words: isWaiting ? null : WORDS_OF[at % WORDS_OF.length],
      waitsFor: isWaiting
        ? `${1 + (at % 7)}rd in line, 2.1k tokens ahead`
            .replace('1rd', '1st')
            .replace('2rd', '2nd')
            .replace(/([4-7])rd/, '$1th')
        : null,
      isCut: at % 11 === 0,
    }
  })
}

export const changesOf = (scenario: Scenario, atMs: number): ChangeRow[] => {
  if (scenario === 'new') return []
  const strong = (text: string) => ({ text, strong: true })
  const some: ChangeRow[] = [
    {
      atMs: atMs - 758_000,
      kind: 'config',
      words: [strong('config 41'), { text: ' by ops: tutor weight 2 → 3' }],
      by: 'ops',
    },
    {
      atMs: atMs - 2_400_000,
      kind: 'key',
      words: [{ text: 'key …7Qd4 of acme rotated, old one ends 03:30' }],
      by: 'ops',
    },
    {
      atMs: atMs - 4_100_000,
      kind: 'look',
      words: [{ text: 'ops looked at the text of ' }, { text: 'job_01KB3R7', to: '/jobs/job_01KB3R7' }],
      by: 'ops',
    },
  ]
  if (scenario === 'well' || scenario === 'load')
    return [
      {
        atMs: atMs - 320_000,
        kind: 'bench',
        words: [strong('bench aa'), { text: ' finished: no change, noise ±1.9%' }],
        by: null,
      },
      ...some,
    ]
  return [
    {
      atMs: atMs - 479_000,
      kind: 'deployment-back',
      words: [{ text: '3 streams went on at vllm-a, at their next token' }],
      by: null,
    },
    {
      atMs: atMs - 480_000,
      kind: 'deployment-out',
      words: [
        { text: 'vllm-b', strong: true, to: '/models/vllm-b' },
        { text: ' refused 3 connections in a row; left alone, tried every 5 s' },
      ],
      by: null,
    },
    ...some,
  ]
}

/** A job that lost its worker and its reader, and neither a token: picture 4. */
export function traceOf(job: string, atMs: number): JobTrace {
  const row = {
    ...jobsOf('well', atMs)[1],
    job,
    state: 'done' as const,
    attempts: 2,
    tokens: 1_204,
    totalMs: 21_400,
    ttftMs: 304,
    isCut: true,
  }
  const stored: [number, number][] = [
    [300, 0],
    [7_860, 412],
    [8_550, 412],
    [21_400, 1_204],
  ]
  const shown: [number, number][] = [
    [304, 0],
    [7_860, 412],
    [8_550, 412],
    [9_800, 489],
    [11_900, 489],
    [11_905, 618],
    [21_400, 1_204],
  ]
  return {
    row,
    spans: [
      { part: 'admission', fromMs: 0, toMs: 6 },
      { part: 'queue', fromMs: 6, toMs: 36 },
      { part: 'routing', fromMs: 36, toMs: 40 },
      { part: 'connect', fromMs: 40, toMs: 52 },
      { part: 'upstream', fromMs: 52, toMs: 304 },
      { part: 'tokens', fromMs: 304, toMs: 21_400 },
    ],
    attempts: [
      {
        attempt: 1,
        deployment: 'vllm-b',
        mode: 'first',
        spans: [
          { part: 'connect', fromMs: 40, toMs: 52 },
          { part: 'upstream', fromMs: 52, toMs: 304 },
          { part: 'tokens', fromMs: 304, toMs: 7_860 },
        ],
        tokens: 412,
        error: 'reset by vllm-b',
      },
      {
        attempt: 2,
        deployment: 'vllm-a',
        mode: 'continue',
        spans: [
          { part: 'pause', fromMs: 7_900, toMs: 8_300 },
          { part: 'upstream', fromMs: 8_300, toMs: 8_550 },
          { part: 'tokens', fromMs: 8_550, toMs: 21_400 },
        ],
        tokens: 792,
        error: null,
      },
    ],
    readers: [
      { by: 'SSE', fromMs: 304, toMs: 9_800, complete: false },
      { by: 'SSE', fromMs: 11_900, toMs: 21_400, complete: true },
    ],
    stored,
    shown,
    counts: { stored: 1_204, shown: 1_204, lost: 0, shownTwice: 0 },
    place: null,
    facts: [
      { name: 'First token', value: '304 ms' },
      { name: 'of it upstream', value: '252 ms', of: 'First token' },
      { name: 'Per token, p50', value: '16.9 ms' },
      { name: 'Tokens in', value: '3,072', of: '2 attempts, 1,612 cached' },
      { name: 'Cost', value: '$0.0041' },
      { name: 'Log', value: '1–1,210' },
      { name: 'Trace', value: '4f1c…a09e' },
    ],
  }
}
