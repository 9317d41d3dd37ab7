/** Ten faults, each blamed on what it is, and two without a cause. */
import { describe, expect, it } from 'vitest'
import type { Brief } from '../../core/live.ts'
import { briefsOf } from './brief.ts'
import type { DeploymentNow } from './situation.ts'
import {
  all,
  deployment,
  FULL,
  first,
  type Given,
  late,
  NOW_MS,
  parts,
  pause,
  QUEUED,
  situation,
  USUAL,
  WELL,
  waits,
} from './testing/situations.ts'
import { textOf } from './words.ts'

describe('what is to blame', () => {
  it.each<[fault: string, Given, Brief['kind'], RegExp]>([
    [
      'a limit of the queue: all slots are taken',
      {
        now: QUEUED,
        waiting: { jobs: 64, most: { tenant: 'acme', jobs: 20 } },
        deployments: [
          deployment('vllm-a', { state: 'full', active: 24 }),
          deployment('vllm-b', { state: 'full', active: 24 }),
        ],
      },
      'late',
      /2\.4 s is the queue.*All 48 slots of vllm-a and vllm-b are taken/,
    ],
    [
      'a deployment that is down',
      {
        now: QUEUED,
        since: { late: NOW_MS - 480_000 },
        waiting: { jobs: 64, most: { tenant: 'docs-batch', jobs: 41 } },
        deployments: [
          deployment('vllm-a', { state: 'full', active: 24 }),
          deployment('vllm-b', { state: 'cooling', outForMs: 480_000, lastError: 'provider_unreachable', failed: 9 }),
        ],
      },
      'late',
      /For 8 minutes now.*vllm-b can’t be reached, for 8 minutes now, so 24 of 48 slots of chat are left, all taken/,
    ],
    [
      'a slow model',
      {
        now: { tpotP95Ms: 92, tpotP50Ms: 70 },
        deployments: [deployment('vllm-a', { tpotP50Ms: 70, slow: 9 }), deployment('vllm-b')],
      },
      'slow',
      /vllm-a makes a token in 70 ms; in the hour before it was 18 ms\. First tokens come in time/,
    ],
    [
      'a slow connection',
      {
        now: late({ connect: 2_600 }),
        deployments: [deployment('vllm-a', { ttftP95Ms: 4_000, late: 9 }), deployment('vllm-b')],
      },
      'late',
      /2\.6 s is connecting\. vllm-a takes long to connect to/,
    ],
    [
      'a provider that answers 429',
      {
        now: late({ retries: 2_500 }),
        retried: [{ code: 'provider_rate_limited', name: 'openai-eu', count: 40 }],
        deployments: [deployment('openai-eu', { failed: 40 }), deployment('vllm-b')],
      },
      'late',
      /attempts that failed before\. openai-eu answers 429: 40 attempts went elsewhere/,
    ],
    [
      'a limit of a tenant',
      {
        now: QUEUED,
        waiting: {
          jobs: 30,
          most: { tenant: 'acme', jobs: 30 },
          limit: { level: 'tenant', unit: 'tokens', share: 0.9 },
        },
      },
      'late',
      /waits for a limit of tenant acme: tokens/,
    ],
    [
      'a paused queue',
      {
        running: 0,
        stuckMs: 60_000,
        since: { stuck: NOW_MS - 60_000 },
        waiting: { jobs: 7 },
        paused: [pause(1, { model: 'chat' })],
      },
      'stuck',
      /Nothing runs, though 7 jobs wait.*model chat is paused by an operator/,
    ],
    [
      'a model whose only deployment was taken out, while others run',
      {
        stuckModels: [{ model: 'late', jobs: 10, forMs: 60_000 }],
        waiting: { jobs: 10, models: [waits('late', 10)] },
        deployments: [deployment('vllm-a'), deployment('out', { model: 'late', state: 'draining' })],
        paused: [pause(0.9, { model: 'chat', of: { chat: 1, late: 0 } })],
      },
      'stuck',
      /Nothing of late runs, though 10 jobs wait, for 1 minute now.*out is out, and no other deployment is left/,
    ],
    [
      'a slow store',
      { now: late({ admission: 2_900 }), store: { error: null, sinceAtMs: null, commitP99Ms: 1_400 } },
      'late',
      /2\.9 s is Sluice’s own admission\. The store is slow: a commit takes 1\.4 s/,
    ],
    [
      'a burst of one tenant',
      {
        now: QUEUED,
        waiting: { jobs: 50, most: { tenant: 'docs-batch', jobs: 45 } },
        submits: [{ tenant: 'docs-batch', model: 'chat', now: 50, before: 1 }],
        deployments: [deployment('vllm-a', { state: 'full', active: 24 })],
      },
      'late',
      /docs-batch submits 50 jobs a minute, in the hour before 1; 45 of the 50 that wait are its own/,
    ],
    [
      'a full model, while one that nobody asks for is down',
      {
        now: QUEUED,
        waiting: { jobs: 64, most: { tenant: 'acme', jobs: 20 } },
        deployments: [
          deployment('vllm-a', { state: 'full', active: 24 }),
          deployment('idle', { model: 'other', state: 'failing', failuresInRow: 30, outForMs: 80_000, attempts: 0 }),
        ],
      },
      'late',
      /2\.4 s is the queue.*All 24 slots of vllm-a are taken/,
    ],
    [
      'a deployment that fails, since when nobody knows',
      {
        now: QUEUED,
        waiting: { jobs: 64 },
        deployments: [
          deployment('vllm-a', { state: 'full', active: 24 }),
          deployment('vllm-b', { state: 'failing', outForMs: 0, lastError: 'provider_error' }),
        ],
      },
      'late',
      /vllm-b fails, so 24 of 48 slots/,
    ],
    [
      'a full model, while a deployment of another one in line fails and is not needed',
      {
        now: QUEUED,
        waiting: {
          jobs: 25,
          models: [waits('one', 24), waits('fo', 1)],
        },
        delays: { queue: [{ model: 'one', ms: 9_000 }], retries: [] },
        paused: [pause(0.04, { tenant: 'other' })],
        deployments: [
          deployment('dfo1', { model: 'fo', state: 'failing', outForMs: 90_000, lastError: 'provider_error' }),
          deployment('dfo2', { model: 'fo' }),
          deployment('done1', { model: 'one', state: 'full', active: 1, concurrent: 1 }),
        ],
      },
      'late',
      /2\.4 s is the queue\. done1 takes 1 call at once, and it is taken; 24 jobs wait\./,
    ],
    [
      'a full deployment, while another one of its model fails and a third has room',
      {
        now: QUEUED,
        waiting: { jobs: 5 },
        ...{ gone: ['node_2'], slots: 24 },
        deployments: [
          deployment('a', { state: 'full' }),
          deployment('b', { state: 'failing', outForMs: 9_000 }),
          deployment('c'),
        ],
      },
      'late',
      /the queue\. node_2 is gone/,
    ],
    [
      'a full disk, before anybody was refused',
      { running: 0, store: { error: FULL, sinceAtMs: NOW_MS - 120_000, commitP99Ms: null } },
      'stuck',
      /^The store takes nothing: new work is refused\. For 2 minutes now\. \| The disk is full/,
    ],
    [
      'a full disk, which refuses whoever asks',
      { now: { refused: 61 }, refusals: [{ code: 'storage_full', name: 'default', count: 61 }] },
      'refusing',
      /61 requests refused.* \| 61 of them: the disk is full\. \|/,
    ],
    [
      'a worker that is gone',
      { now: QUEUED, waiting: { jobs: 12 }, gone: ['node_2'], slots: 24 },
      'late',
      /2\.4 s is the queue\. node_2 is gone, with the slots of its workers/,
    ],
  ])('%s', (_, given, kind, text) => {
    const brief = first(given)
    expect(brief.kind).toBe(kind)
    expect(all(brief)).toMatch(text)
    expect(all(brief)).not.toMatch(/cause not clear/i)
  })

  it('blames a deployment by its share of what was slow, not by how slow it is', () => {
    const { cause } = first({
      now: { tpotP95Ms: 213, tpotP50Ms: 6 },
      deployments: [
        deployment('slowm', { attempts: 1, tpotP50Ms: 99, tpotP95Ms: 99, slow: 1 }),
        deployment('demo-*', { attempts: 60, tpotP50Ms: 6, tpotP95Ms: 205, slow: 20 }),
      ],
    })
    expect(textOf(cause)).toMatch(
      /^demo-\* gave 20 of the 21 slow answers: 205 ms a token \(p95\), half of its answers come at 6 ms/,
    )
  })

  it('blames none for tokens where several are slow', () => {
    const { cause } = first({
      now: { tpotP95Ms: 213 },
      deployments: ['a', 'b'].map((name) => deployment(name, { tpotP50Ms: 99, slow: 20 })),
    })
    expect(textOf(cause)).toMatch(/^Cause not clear: of 40 slow answers, 20 are of a and 20 of b \(p50 of the hour/)
  })

  it('blames a provider by its share of what was late', () => {
    const upstream = (...deployments: readonly DeploymentNow[]): string =>
      textOf(first({ now: late({ upstream: 2_600 }), deployments }).cause)
    const one = deployment('one', { attempts: 1, ttftP95Ms: 9_000, late: 1 })
    const most = deployment('most', { ttftP95Ms: 4_000, late: 20 })
    expect(upstream(one, most)).toMatch(/the provider\. most is slow to answer: .* after 4\.0 s/)
    expect(upstream(one, deployment('other', { ttftP95Ms: 4_000, late: 1 }))).toMatch(/the provider\. $/)
  })

  it('never says that all is well while a goal is missed', () => {
    const brief = first({ now: { judged: 62, good: 54 } })
    expect(brief.kind).toBe('missed')
    expect(textOf(brief.state)).toBe('13% of answers missed a goal, where 1% may: 8 of 62.')
    expect(first({ now: { judged: 4, good: 0 } }).kind).toBe('idle')
  })

  it('names the deployment that fails, and the tenant that is refused', () => {
    const failing = first({
      now: { failed: 12, done: 40 },
      failures: [
        { code: 'provider_error', name: 'vllm-b', count: 11 },
        { code: 'provider_timeout', name: 'vllm-a', count: 1 },
      ],
    })
    expect(all(failing)).toMatch(/23% of jobs fail: 12 of 52.*11 of them at vllm-b: the provider fails/)
    const refusing = first({
      now: { refused: 40 },
      refusals: [{ code: 'queue_full', name: 'acme', count: 39 }],
    })
    expect(refusing.kind).toBe('refusing')
    expect(all(refusing)).toMatch(/40 requests refused.*39 of them of acme: the queue is full/)
  })
})

describe('where nothing explains 60 %', () => {
  it('a delay has no clear cause: the split is shown', () => {
    const brief = first({ now: late({ queue: 900, upstream: 1_100, connect: 600 }) })
    expect(brief.kind).toBe('late')
    expect(textOf(brief.cause)).toBe(
      'Cause not clear: of the 2.3 s added to first tokens on average, ' +
        '880 ms is the queue, 840 ms is the provider and 595 ms is connecting.',
    )
  })

  it('failures of every kind have none', () => {
    const brief = first({
      now: { failed: 12, done: 40 },
      failures: ['provider_error', 'provider_timeout', 'provider_cut'].map((code, i) => ({
        code,
        name: `vllm-${i}`,
        count: 4,
      })),
    })
    expect(textOf(brief.cause)).toMatch(/^Cause not clear: 4 the provider fails \(vllm-0\), 4 /)
  })

  it('the boundary is 60 %', () => {
    const added = (queue: number, connect: number): string =>
      textOf(first({ now: late({ queue: USUAL.queue + queue, connect: USUAL.connect + connect }) }).cause)
    expect(added(1_200, 800)).toMatch(/1\.2 s is the queue/)
    expect(added(1_180, 820)).toMatch(/^Cause not clear/)
  })
})

describe('what is told beside it', () => {
  it('is what nothing lost means, counted', () => {
    const brief = first({ now: QUEUED, waiting: { jobs: 64, most: { tenant: 'docs-batch', jobs: 41 } } })
    expect(textOf(brief.harm)).toBe(
      'Nothing is lost: 64 jobs wait in line, 41 of them from docs-batch; none was refused.',
    )
  })

  it('is one quiet line when all is well', () => {
    const [brief, ...more] = briefsOf(situation({}))
    expect(more).toEqual([])
    expect(brief).toMatchObject({ kind: 'well', cause: [], harm: [] })
    expect(first({ isNew: true, running: 0 }).kind).toBe('new')
    expect(first({ running: 0, now: { firstTokens: 0, done: 0, ttftP95Ms: null } }).kind).toBe('idle')
  })

  it('is the worst first', () => {
    const kinds = briefsOf(
      situation({ now: { ...QUEUED, failed: 20, tpotP95Ms: 90 }, stuckMs: 20_000, running: 0, waiting: { jobs: 3 } }),
    ).map(({ kind }) => kind)
    expect(kinds).toEqual(['stuck', 'failing', 'late', 'slow'])
  })

  it('measures against all of it where the hour before was no better', () => {
    const brief = first({ now: QUEUED, before: { ...WELL, ttftP95Ms: 4_000, parts: parts({ queue: 2_300 }) } })
    expect(textOf(brief.cause)).toContain('2.4 s is the queue')
  })
})
