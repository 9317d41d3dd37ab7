import { describe, expect, it } from 'vitest'
import type { JobTrace } from '../../../../src/core/live.ts'
import { axisOf, cutsOf, heightAt, pathOf, shareOf, stepped, ticksOf } from './axis.ts'
import { curlOf } from './curl.ts'
import { leadOf, rowsOf } from './route.ts'
import { extended, piecesOf } from './seams.ts'
import { tell } from './sentence.ts'

/** Picture 4: a worker lost at 412, a reader away from 9.8 s to 11.9 s. */
const TRACE: JobTrace = {
  row: {
    job: 'job_1',
    state: 'done',
    tenant: 'acme',
    model: 'chat',
    acceptedAtMs: 1_000_000,
    ttft: null,
    ttftMs: 304,
    totalMs: 21_400,
    attempts: 2,
    tokens: 1_204,
    nanoUsd: null,
    isEstimated: false,
    error: null,
    words: null,
    waitsFor: null,
    isCut: true,
  },
  spans: [{ part: 'queue', fromMs: 6, toMs: 36 }],
  attempts: [
    {
      attempt: 1,
      deployment: 'vllm-b',
      mode: 'first',
      spans: [{ part: 'tokens', fromMs: 304, toMs: 7_860 }],
      tokens: 412,
      error: 'reset by vllm-b',
    },
    {
      attempt: 2,
      deployment: 'vllm-a',
      mode: 'continue',
      spans: [{ part: 'tokens', fromMs: 8_550, toMs: 21_400 }],
      tokens: 792,
      error: null,
    },
  ],
  readers: [
    { by: 'SSE', fromMs: 304, toMs: 9_800, complete: false },
    { by: 'SSE', fromMs: 11_900, toMs: 21_400, complete: true },
  ],
  stored: [
    [300, 0],
    [7_860, 412],
    [8_550, 412],
    [21_400, 1_204],
  ],
  shown: [
    [304, 0],
    [9_800, 489],
    [21_400, 1_204],
  ],
  counts: { stored: 1_204, shown: 1_204, lost: 0, shownTwice: 0 },
  place: null,
  facts: [],
}
const changed = (row: Partial<JobTrace['row']>, more: Partial<JobTrace> = {}): JobTrace => ({
  ...TRACE,
  ...more,
  row: { ...TRACE.row, ...row },
})

describe('the axis of a job', () => {
  it('has 5 to 12 round ticks, however long the job was', () => {
    for (const endMs of [7, 96, 1_400, 21_400, 3_600_000, 86_400_000]) {
      const ticks = ticksOf(endMs)
      expect(ticks.length).toBeGreaterThanOrEqual(4)
      expect(ticks.length).toBeLessThanOrEqual(13)
      expect(ticks.at(-1)).toBeLessThanOrEqual(endMs)
    }
    expect(ticksOf(21_400)[1]).toBe(2_000)
  })

  it('holds all marks, those before acceptance too', () => {
    const axis = axisOf(TRACE, 0)
    expect(axis.endMs).toBe(21_400)
    expect(shareOf(-6, axis)).toBe(0)
    expect(shareOf(99_999, axis)).toBe(1)
  })

  it('ends now while the job runs', () => {
    expect(axisOf(changed({ totalMs: null, state: 'leased' }), 1_030_000).endMs).toBe(30_000)
  })

  it('finds a cut between two visits, with what waited meanwhile', () => {
    expect(cutsOf(TRACE, 21_400)).toEqual([{ fromMs: 9_800, toMs: 11_900, atToken: 489, tokens: 129 }])
  })

  it('takes a reader that stays to the end, or another beside it, for no cut', () => {
    const [one, other] = TRACE.readers
    expect(cutsOf({ ...TRACE, readers: [other] }, 21_400)).toEqual([])
    expect(cutsOf({ ...TRACE, readers: [one, { ...other, fromMs: 5_000 }] }, 21_400)).toEqual([])
  })

  it('takes a reader that left when nothing more was to come for no cut', () => {
    const [one] = TRACE.readers
    const stored = [...TRACE.stored.filter(([ms]) => ms < 9_000), [21_400, 489]] as const
    const left = { ...TRACE, stored, readers: [{ ...one, toMs: 21_398, complete: false }] }
    expect(
      cutsOf(
        {
          ...left,
          shown: [
            [500, 10],
            [9_000, 489],
          ],
        },
        21_400,
      ),
    ).toEqual([])
    expect(
      cutsOf(
        {
          ...left,
          shown: [
            [500, 10],
            [9_000, 400],
          ],
        },
        21_400,
      ),
    ).toMatchObject([{ toMs: null, tokens: 89 }])
  })

  it('draws what was shown flat during a cut, and as a step at its end', () => {
    const curve = stepped(TRACE, cutsOf(TRACE, 21_400))
    expect(curve).toContainEqual([11_900, 489])
    expect(curve).toContainEqual([11_900, 618])
    expect(heightAt(TRACE.stored, 8_000)).toBe(412)
    expect(pathOf(TRACE.stored, { endMs: 21_400, ticks: [] }, 1_204)).toMatch(/^14\.02,100\.00 .* 1000\.00,0\.00$/)
  })
})

describe('a job in words', () => {
  it('tells what happened, then why', () => {
    const { title, detail } = tell(TRACE, 0)
    expect(title).toBe('Done in 21.4 s. One attempt failed, one connection was cut, no token was lost.')
    expect(detail).toBe(
      'vllm-b stopped after token 412 (reset by vllm-b); vllm-a went on at 413, 690 ms later. ' +
        'At 9.8 s the reader’s connection was cut, after token 489. It came back after 2.1 s, and the 129 tokens ' +
        'made meanwhile came in one write.',
    )
  })

  it('counts the wait for a lost worker from its last token on, not from when it was missed', () => {
    const [one, two] = TRACE.attempts
    const lost = {
      ...one,
      error: 'worker_lost',
      spans: [...one.spans, { part: 'unknown', fromMs: 7_860, toMs: 8_500 }],
    }
    const { detail } = tell({ ...TRACE, attempts: [lost as typeof one, two] }, 0)
    expect(detail).toMatch(/^vllm-b stopped after token 412 \(worker_lost\); vllm-a went on at 413, 690 ms later\./)
  })

  it('tells what is not known of a job that outlived a restart', () => {
    const [, two] = TRACE.attempts
    const spans = [{ part: 'unknown', fromMs: 0, toMs: 8_500 }] as const
    const one = { ...TRACE.attempts[0], deployment: '', error: null, spans }
    expect(tell({ ...TRACE, attempts: [one, two], readers: [] }, 0).detail).toBe(
      'What happened in its first 8.5 s is not known any more; 412 tokens were stored by then.',
    )
  })

  it('claims no loss and no safety where nobody knows', () => {
    const { title } = tell({ ...TRACE, counts: { stored: 1_204, shown: null, lost: null, shownTwice: null } }, 0)
    expect(title).not.toMatch(/lost/)
  })

  it('tells of each state', () => {
    const nothing = { attempts: [], readers: [], stored: [], shown: [], counts: { ...TRACE.counts, stored: 0 } }
    const waits = changed(
      { state: 'queued', totalMs: null },
      { ...nothing, place: { position: 3, tokensAhead: 1, etaMs: 2_400 } },
    )
    expect(tell(waits, 1_004_200)).toEqual({
      title: '3rd in line, for 4.2 s now.',
      detail: '1 token is to be served before it, about 2.4 s more.',
    })
    expect(tell(changed({ state: 'expired' }, nothing), 0).title).toBe('Expired: its deadline came before its turn.')
    expect(tell(changed({ state: 'canceled', totalMs: 3_000 }, nothing), 0)).toEqual({
      title: 'Canceled after 3.0 s.',
      detail: 'It had written nothing yet.',
    })
    const error = { code: 'upstream_error', type: 'server_error', param: null, message: 'It broke' } as const
    expect(tell(changed({ state: 'failed', error, totalMs: 900 }, nothing), 0).title).toBe(
      'Failed after 900 ms: It broke.',
    )
  })
})

describe('the answer', () => {
  const chunks = Array.from({ length: 1_204 }, (_, at) => `${at} `)
  const attempts = [
    { attempt: 1, deployment: 'vllm-b', mode: 'first', chunk: 0 },
    { attempt: 2, deployment: 'vllm-a', mode: 'continue', chunk: 412 },
  ] as const
  const answer = { chunks, attempts, seq: 1_210, ended: true, isCut: false }

  it('is cut at its seams, and loses nothing', () => {
    const pieces = piecesOf(answer, TRACE)
    expect(pieces.map(({ text }) => text).join('')).toBe(chunks.join(''))
    expect(pieces.flatMap(({ seams }) => seams.map(({ text }) => text))).toEqual([
      'vllm-b lost · 412',
      'vllm-a goes on · 413',
      '✂ cut · 489',
      'back · 618',
    ])
    const [write] = pieces.filter(({ isOneWrite }) => isOneWrite)
    expect(write.text).toBe(chunks.slice(489, 618).join(''))
  })

  it('begins anew after a restart', () => {
    const [first, second] = attempts
    const pieces = piecesOf({ ...answer, attempts: [first, { ...second, mode: 'restart' }] }, null)
    expect(pieces.map(({ text }) => text).join('')).toBe(chunks.slice(412).join(''))
  })

  it('grows by what came since', () => {
    const more = { ...answer, chunks: ['x'], attempts: [{ ...attempts[1], chunk: 0 }] }
    const grown = extended({ ...answer, attempts: [attempts[0]] }, more)
    expect(grown.chunks).toHaveLength(1_205)
    expect(grown.attempts[1].chunk).toBe(1_204)
  })

  it('goes into a shell as it was', () => {
    expect(curlOf({ endpoint: '/v1/chat/completions', request: `{"a":"it's"}` }, null)).toContain(`'{"a":"it'\\''s"}'`)
  })
})

describe('the route of a job', () => {
  const candidate = { active: 0, why: null, score: null }
  const step = {
    model: 'chat',
    policy: 'least-wait',
    unit: 'ms',
    cached_at: null,
    chosen: 'b',
    deployments: [
      { ...candidate, deployment: 'a', why: 'its breaker is open' },
      { ...candidate, deployment: 'b', active: 3, score: 1_240 },
      { ...candidate, deployment: 'c', active: 1, score: 2_400 },
    ],
  } as const
  const route = { deployment: 'b', refused: null, own_key: false, steps: [step] }

  it('tells where it went, where one like it would go now, and why', () => {
    expect(leadOf(route, ['a', 'b'], true)).toBe(
      'It went to a, then b. One like it would go to b now: least-wait picks where the answer is expected soonest.',
    )
    expect(leadOf(route, [], false)).toMatch(/^Were it its turn, it would go to b now/)
    expect(leadOf({ ...route, steps: [{ ...step, cached_at: 'b' }] }, [], false)).toBe(
      'Were it its turn, it would go to b now: it has read this beginning last.',
    )
    const alone = { ...step, deployments: step.deployments.slice(0, 2) }
    expect(leadOf({ ...route, steps: [alone] }, [], false)).toBe(
      'Were it its turn, it would go to b now: no other is open to it.',
    )
    expect(leadOf({ ...route, deployment: null, own_key: true }, [], false)).toBe(
      'Were it its turn, it would wait now: no deployment is open to it. With the tenant’s own key.',
    )
    expect(leadOf({ ...route, refused: { message: 'The tenant is stopped.' } }, ['a'], true)).toBe(
      'It went to a. One like it would be refused now: The tenant is stopped.',
    )
  })

  it('tells of each deployment why it was left out, or what is expected there', () => {
    expect(rowsOf(step)).toEqual([
      { deployment: 'a', is: 'out', words: 'its breaker is open' },
      { deployment: 'b', is: 'chosen', words: 'chosen: 1.2 s expected, 3 calls there' },
      { deployment: 'c', is: 'open', words: 'could take it: 2.4 s expected, 1 call there' },
    ])
    expect(rowsOf({ ...step, unit: 'nano_dollars' })[1].words).toBe('chosen: <$0.0001 expected, 3 calls there')
    expect(rowsOf({ ...step, unit: 'turn' })[1].words).toBe('chosen: 3 calls there')
  })
})
