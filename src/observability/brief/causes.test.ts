/**
 * Two things are true at once, and only one explains the trouble. A cause counts where it holds up the jobs that are
 * late, where what is missing is what is full, and where that with which it is compared is known.
 */
import { describe, expect, it } from 'vitest'
import { all, deployment, first, type Given, late, pause, QUEUED, waits } from './testing/situations.ts'

const FULL = { state: 'full', active: 24 } as const
const OF_NARROW = { queue: [{ model: 'narrow', ms: 90_000 }], retries: [] }
const narrow = deployment('n', { model: 'narrow', concurrent: 2 })
const fullNarrow = deployment('n', { model: 'narrow', concurrent: 2, active: 2, state: 'full' })
const LIMIT = { level: 'tenant', unit: 'tokens', share: 1 }
const BURST = { tenant: 'docs', model: 'chat', now: 50, before: 1 }
const docs = (model = 'chat') => waits(model, 50, { most: { tenant: 'docs', jobs: 45 } })

describe('late first tokens', () => {
  it.each<[truths: string, Given, is: RegExp, isNot: RegExp]>([
    [
      'a line that is empty again; another model fails, and is called',
      {
        ...{ now: QUEUED, delays: OF_NARROW, waiting: { models: [] } },
        deployments: [
          narrow,
          deployment('broken', { model: 'broken', state: 'failing', outForMs: 1_200_000, lastError: 'provider_error' }),
        ],
      },
      /2\.4 s is the queue\. It was that of narrow; nothing of it waits any more/,
      /broken/,
    ],
    [
      'a full deployment; another model, of which more waits now, is out',
      {
        ...{ now: QUEUED, delays: OF_NARROW },
        waiting: { jobs: 50, models: [waits('chat', 40), waits('narrow', 10)] },
        deployments: [deployment('a', { state: 'cooling', outForMs: 9_000 }), fullNarrow],
      },
      /All 2 slots of n are taken; 10 jobs wait/,
      /\ba\b/,
    ],
    [
      'a full deployment; a worker was killed, and slots of workers are free',
      {
        ...{ now: QUEUED, gone: ['vm:27502'], running: 4, slots: 8_192, waiting: { jobs: 10 } },
        deployments: [deployment('a', { state: 'full', active: 4, concurrent: 4 })],
      },
      /All 4 slots of a are taken; 10 jobs wait/,
      /gone/,
    ],
    [
      'a worker was killed, and all slots of the others are taken; a deployment has room',
      { now: QUEUED, gone: ['vm:27502'], running: 24, slots: 24, waiting: { jobs: 10 } },
      /vm:27502 is gone, with the slots of its workers/,
      /not clear/,
    ],
    [
      'all slots of the workers are taken; none is gone, and the deployment has room',
      { now: QUEUED, running: 24, slots: 24, waiting: { jobs: 10 } },
      /All 24 slots of the workers are taken/,
      /not clear/,
    ],
    [
      'a full deployment; a tenant submits much, and nobody knows what it did before',
      {
        now: QUEUED,
        ...{ submits: [{ ...BURST, before: null }], beforeMinutes: 0, waiting: { jobs: 50, models: [docs()] } },
        deployments: [deployment('a', FULL)],
      },
      /All 24 slots of a are taken; 50 jobs wait/,
      /docs submits|hour before/,
    ],
    [
      'a burst; the hour before is known for half of it',
      { ...{ now: QUEUED, submits: [BURST], beforeMinutes: 30 }, waiting: { jobs: 50, models: [docs()] } },
      /docs submits 50 jobs a minute, in the 30 minutes before 1; 45 of the 50 that wait are its own/,
      /hour/,
    ],
    [
      'a full deployment; a burst of a tenant at another model',
      {
        ...{ now: QUEUED, delays: OF_NARROW, submits: [BURST] },
        waiting: { jobs: 60, models: [docs(), waits('narrow', 10, { most: { tenant: 'docs', jobs: 10 } })] },
        deployments: [deployment('a'), fullNarrow],
      },
      /All 2 slots of n are taken; 10 jobs wait/,
      /docs submits/,
    ],
    [
      'a deployment that holds its slots for longer; a burst of its tenant',
      {
        ...{ now: QUEUED, submits: [BURST], waiting: { jobs: 50, models: [docs()] } },
        deployments: [deployment('a', { ...FULL, tpotP50Ms: 150, tpotP50BeforeMs: 10 })],
      },
      /All 24 slots of a are taken; 50 jobs wait\. a makes a token in 150 ms, in the hour before it was 10 ms/,
      /docs submits/,
    ],
    [
      'a full deployment; most of what waits, of another model, waits for a limit',
      {
        ...{ now: QUEUED, delays: OF_NARROW },
        waiting: { jobs: 50, limit: LIMIT, models: [waits('chat', 40, { limit: LIMIT }), waits('narrow', 10)] },
        deployments: [deployment('a'), fullNarrow],
      },
      /All 2 slots of n are taken/,
      /limit/,
    ],
    [
      'a full deployment; most of what waits is paused, which no first token has come of',
      {
        ...{ now: QUEUED, delays: OF_NARROW, paused: [pause(0.8, { model: 'chat', of: { chat: 1 } })] },
        waiting: { jobs: 50, models: [waits('chat', 40), waits('narrow', 10)] },
        deployments: [deployment('a'), fullNarrow],
      },
      /All 2 slots of n are taken/,
      /paused/,
    ],
    [
      'attempts of one model failed, and it waited for others; more of another one fail, and end there',
      {
        now: late({ retries: 2_500 }),
        delays: { queue: [], retries: [{ model: 'narrow', ms: 9_000 }] },
        retried: [
          { code: 'provider_error', name: 'a', count: 90 },
          { code: 'provider_rate_limited', name: 'n', count: 9 },
        ],
        deployments: [deployment('a'), narrow],
      },
      /n answers 429: 9 attempts went elsewhere/,
      /\ba fails/,
    ],
    [
      'attempts were lost with their worker; that is not their deployment’s doing',
      { now: late({ retries: 2_500 }), retried: [{ code: 'worker_lost', name: 'vllm-a', count: 9 }] },
      /9 attempts began again: worker lost/,
      /vllm-a fails/,
    ],
    [
      'a slow provider; another one was slow a while ago, and is no longer',
      {
        now: late({ upstream: 2_600 }),
        deployments: [
          deployment('a', { ttftP95Ms: 4_000, late: 20 }),
          { ...deployment('b', { late: 0 }), ttftP95Ms: 9_000 },
        ],
      },
      /a is slow to answer: its first tokens come after 4\.0 s/,
      /\bb\b/,
    ],
    [
      'a slow admission; a commit takes longer than usual, and far less than that',
      { now: late({ admission: 2_900 }), store: { error: null, sinceAtMs: null, commitP99Ms: 120 } },
      /2\.9 s is Sluice’s own admission/,
      /store/,
    ],
    [
      'Sluice has too little CPU; so its provider seems slow',
      {
        now: late({ upstream: 2_600 }),
        loop: { node: 'node_1', share: 0.7 },
        deployments: [deployment('a', { ttftP95Ms: 4_000, late: 20 })],
      },
      /node_1 has too little CPU: its event loop was held for 70% of the last minute/,
      /slow to answer/,
    ],
    [
      'a slow provider; Sluice has too little CPU as well, which explains a part alone',
      {
        now: late({ upstream: 9_000 }),
        loop: { node: 'node_1', share: 0.3 },
        deployments: [deployment('a', { ttftP95Ms: 9_900, late: 20 })],
      },
      /a is slow to answer/,
      /CPU/,
    ],
  ])('%s', (_, given, is, isNot) => {
    const brief = first(given)
    expect(brief.kind).toBe('late')
    expect(all(brief)).toMatch(is)
    expect(all(brief)).not.toMatch(isNot)
  })
})

describe('slow tokens', () => {
  const slow = { tpotP95Ms: 213, tpotP50Ms: 20 }
  it.each<[truths: string, Given, is: RegExp, isNot: RegExp]>([
    [
      'the slow answers of a busy deployment that is quick else; one that was called once, and slower',
      {
        now: slow,
        deployments: [
          deployment('demo', { tpotP50Ms: 6, tpotP95Ms: 214, slow: 20, attempts: 60 }),
          deployment('mock-slow', { tpotP50Ms: 99, slow: 1, attempts: 1 }),
        ],
      },
      /demo gave 20 of the 21 slow answers: 214 ms a token/,
      /mock-slow/,
    ],
    [
      'two deployments gave them, by halves; one is slower by itself',
      {
        now: slow,
        deployments: [deployment('a', { tpotP50Ms: 99, slow: 10 }), deployment('b', { tpotP50Ms: 20, slow: 11 })],
      },
      /Cause not clear: of 21 slow answers, 11 are of b and 10 of a/,
      /makes a token/,
    ],
    [
      'Sluice has too little CPU; so all its answers seem slow',
      {
        ...{ now: { tpotP95Ms: 137, tpotP50Ms: 40 }, loop: { node: 'node_1', share: 0.3 } },
        deployments: [deployment('a', { tpotP50Ms: 40, slow: 20 })],
      },
      /node_1 has too little CPU: its event loop was held for 30% of the last minute/,
      /not clear|slow answers/,
    ],
    [
      'a slow model; Sluice has too little CPU as well, which explains a part alone',
      {
        ...{ now: { tpotP95Ms: 213, tpotP50Ms: 150 }, loop: { node: 'node_1', share: 0.3 } },
        deployments: [deployment('a', { tpotP50Ms: 150, slow: 20 })],
      },
      /a makes a token in 150 ms; in the hour before it was 18 ms/,
      /CPU/,
    ],
    [
      'a slow model; the event loop is held as it is on any busy server',
      {
        ...{ now: { tpotP95Ms: 60, tpotP50Ms: 52 }, loop: { node: 'node_1', share: 0.15 } },
        deployments: [deployment('a', { tpotP50Ms: 52, slow: 20 })],
      },
      /a makes a token in 52 ms/,
      /CPU/,
    ],
  ])('%s', (_, given, is, isNot) => {
    const brief = first(given)
    expect(brief.kind).toBe('slow')
    expect(all(brief)).toMatch(is)
    expect(all(brief)).not.toMatch(isNot)
  })
})

describe('what fails, or stands still', () => {
  it.each<[truths: string, Given, is: RegExp, isNot: RegExp]>([
    [
      'jobs are lost with their worker; they ran at a deployment that is well',
      { now: { failed: 12, done: 40 }, failures: [{ code: 'worker_lost', name: 'vllm-b', count: 12 }] },
      /12 of them: worker lost/,
      /vllm-b/,
    ],
    [
      'deadlines pass in line, after an attempt that failed',
      { now: { expired: 12, done: 40 }, failures: [{ code: 'deadline_exceeded', name: 'vllm-b', count: 12 }] },
      /12 of them: their deadline passed in line/,
      /vllm-b/,
    ],
    [
      'a model’s deployment is out; an unrelated lane is paused',
      {
        ...{ running: 0, stuckMs: 60_000, waiting: { jobs: 7 }, paused: [{ lane: 'x', share: null, of: new Map() }] },
        deployments: [deployment('vllm-a', { state: 'cooling', outForMs: 60_000 })],
      },
      /vllm-a is out, and no other deployment is left/,
      /paused/,
    ],
    [
      'a model’s deployment is out; a tenant with few jobs of it is paused',
      {
        stuckModels: [{ model: 'late', jobs: 10, forMs: 60_000 }],
        waiting: { jobs: 10, models: [waits('late', 10)] },
        paused: [pause(0.1, { tenant: 't', of: { late: 0.1 } })],
        deployments: [deployment('out', { model: 'late', state: 'draining' })],
      },
      /out is out, and no other deployment is left/,
      /paused/,
    ],
    [
      'a limit has no room; a worker was killed, and slots of workers are free',
      {
        ...{ running: 0, stuckMs: 60_000, gone: ['node_2'], slots: 24 },
        waiting: { jobs: 7, limit: LIMIT },
      },
      /A limit of the tenant has no room/,
      /node_2/,
    ],
    [
      'one model’s jobs wait for nothing that is known; most of another one’s wait for a limit',
      {
        stuckModels: [{ model: 'late', jobs: 3, forMs: 60_000 }],
        waiting: { jobs: 43, limit: LIMIT, models: [waits('chat', 40, { limit: LIMIT }), waits('late', 3)] },
        deployments: [deployment('a'), deployment('l', { model: 'late' })],
      },
      /Cause not clear/,
      /limit of/,
    ],
    [
      'the last worker is gone; nothing else is wrong',
      { running: 0, stuckMs: 60_000, gone: ['node_2'], slots: 0, waiting: { jobs: 7 } },
      /node_2 is gone/,
      /not clear/,
    ],
  ])('%s', (_, given, is, isNot) => {
    const brief = first(given)
    expect(['failing', 'stuck']).toContain(brief.kind)
    expect(all(brief)).toMatch(is)
    expect(all(brief)).not.toMatch(isNot)
  })

  it('never tells a part that is larger than its whole', () => {
    const brief = first({ now: QUEUED, waiting: { jobs: 10, most: { tenant: 'default', jobs: 13 } } })
    expect(all(brief)).toContain('10 jobs wait in line; none was refused')
  })
})
