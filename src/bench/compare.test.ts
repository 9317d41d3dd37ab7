import { describe, expect, it } from 'vitest'
import { SYSTEM, type System, simulate, type Trial } from '../../test/bench/simulated.ts'
import type { Attribution, Comparison, Part } from '../core/comparison.ts'
import { compareRuns } from './compare.ts'
import { htmlOf } from './compare-html.ts'
import { consoleLines, markdownOf } from './compare-text.ts'
import type { MeasuredRun } from './effects.ts'
import { type FailOn, judge } from './fail-on.ts'
import type { MayDiffer } from './gate.ts'
import { importResult } from './imports/imports.ts'
import type { BenchRecord } from './record.ts'
import type { BenchRun } from './run.ts'
import { readSlo } from './slo.ts'

const TRIAL: Omit<Trial, 'system' | 'noiseSeed'> = { seed: 1, load: 0.3, rounds: 8, requests: 60, loadOf: SYSTEM }

const runOf = (change: Partial<System> = {}, trial: Partial<Trial> = {}, noiseSeed = 1): MeasuredRun =>
  simulate({ ...TRIAL, system: { ...SYSTEM, ...change }, noiseSeed, label: 'before', ...trial })
const afterOf = (change: Partial<System> = {}, trial: Partial<Trial> = {}): MeasuredRun =>
  runOf(change, { label: 'after', ...trial }, 2)

const compared = (before: MeasuredRun, after: MeasuredRun, across: readonly MayDiffer[] = []): Comparison =>
  compareRuns(before, after, { margin: 0.05, across: new Set(across), atMs: 1 })

const outcome = ({ effects }: Comparison, metric: string): string | undefined =>
  effects.find((effect) => effect.metric === metric)?.outcome

const attributed = ({ attributions }: Comparison, of: Attribution['of'] = 'ttft-mean'): Attribution =>
  attributions.find((attribution) => attribution.of === of)!

const delta = ({ parts }: Attribution, part: Part): number => parts.find((each) => each.part === part)?.deltaMs ?? 0

/** With other records, or another run. */
const with_ = (
  { run, records }: MeasuredRun,
  record: (record: BenchRecord) => Partial<BenchRecord> = () => ({}),
  more: (run: BenchRun) => Partial<BenchRun> = () => ({}),
): MeasuredRun => ({ run: { ...run, ...more(run) }, records: records.map((each) => ({ ...each, ...record(each) })) })

describe('the two cases of the article', () => {
  it('blames the queue for a queue that adds 500 ms', () => {
    const found = compared(runOf(), afterOf({ holdMs: 500 }))
    expect(found.verdict).toBe('worse')
    expect(found.sentence).toBe('Time to first token is worse by 500 ms. It is the queue, not the model.')
    expect([outcome(found, 'ttft-mean'), outcome(found, 'tpot-p50')]).toEqual(['worse', 'no-change'])
    expect(found.cause).toMatch(/^waiting in line .* → .*; .*% of requests waited, now 100%$/)
  })

  it('shows a slower model in TPOT, and not in TTFT', () => {
    const found = compared(runOf(), afterOf({ paceMs: 25 }, { load: 0.3 }))
    expect([outcome(found, 'ttft-mean'), outcome(found, 'ttft-p95')]).toEqual(['no-change', 'no-change'])
    expect(outcome(found, 'tpot-p50')).toBe('worse')
    expect(found.sentence).toMatch(
      /^Time per output token is worse by 5\.\d ms \(\+25%\)\. It is the model, not the queue\.$/,
    )
    const pace = attributed(found, 'tpot-mean')
    expect(delta(pace, 'decode') / pace.deltaMs).toBeCloseTo(1, 2)
  })
})

describe('attribution against what is known', () => {
  it.each<[string, Partial<System>, Part, number]>([
    ['queue', { holdMs: 300 }, 'queue', 300],
    ['prefill', { prefillMs: 250 }, 'prefill', 100],
    ['delivery', { deliveryMs: 41 }, 'delivery', 40],
  ])('by the server’s own times: %s', (_name, change, part, truth) => {
    const found = attributed(compared(runOf(), afterOf(change)))
    expect(found.source).toBe('server')
    expect(Math.abs(delta(found, part) - truth) / truth).toBeLessThan(0.05)
    expect(Math.abs(delta(found, 'unexplained'))).toBeLessThan(0.01 * truth)
  })

  it.each<[System['tells'], Attribution['source'], Part, Part]>([
    ['engine', 'engine', 'queue', 'prefill'],
    ['metrics', 'metrics', 'queue', 'prefill'],
    ['nothing', 'idle', 'contention', 'prefill'],
  ])('by what is told: %s', (tells, source, queue, prefill) => {
    const before = runOf({ tells }, { load: 0.7 })
    // More of them than the slots hold: the queue grows, and the idle floor does not
    const busier = attributed(compared(before, afterOf({ tells, slots: 11 }, { load: 0.7 })))
    expect(busier.source).toBe(source)
    expect(delta(busier, queue) / busier.deltaMs).toBeGreaterThan(0.9)
    const slower = attributed(compared(before, afterOf({ tells, prefillMs: 250 }, { load: 0.3 }), ['load', 'rate']))
    expect(Math.abs(delta(slower, prefill) - 100)).toBeLessThan(5)
  })

  it('parts add up to the difference, exactly, and "unexplained" is the last one, always', () => {
    for (const tells of ['server', 'engine', 'metrics', 'nothing'] as const)
      for (const found of compared(runOf({ tells }), afterOf({ tells, holdMs: 200 })).attributions) {
        expect(found.parts.at(-1)!.part).toBe('unexplained')
        expect(found.parts.reduce((sum, { deltaMs }) => sum + deltaMs, 0)).toBeCloseTo(found.deltaMs, 6)
        expect(found.parts.reduce((sum, { afterMs }) => sum + afterMs, 0)).toBeCloseTo(found.afterMs, 6)
      }
  })

  it('what nobody has measured is unexplained, and then no cause is named', () => {
    const later = with_(afterOf(), ({ firstToken, lastToken, end }) => ({
      firstToken: firstToken! + 300,
      lastToken: lastToken! + 300,
      end: end + 300,
    }))
    const found = compared(runOf(), later)
    expect(delta(attributed(found), 'unexplained')).toBeCloseTo(300, -1)
    expect(found.sentence).toContain('the cause is not clear')
    expect([found.cause, found.next]).toEqual([null, null])
  })

  it('a proxy that holds tokens up is no slow model', () => {
    const held = with_(afterOf(), ({ lastToken, firstToken, tokens }) => ({
      lastToken: firstToken! + (lastToken! - firstToken!) + 6 * (tokens.completion - 1),
    }))
    const found = compared(runOf(), held)
    expect(found.sentence).toContain('It is the way from the model to the reader, not the model.')
  })

  it('an engine behind Sluice that tells of its own queue is not blamed for its prefill', () => {
    const telling = (queue: number) => (record: BenchRecord) => ({
      server: { ...record.server!, engine: { queue, prefill: record.server!.parts!.upstream! - queue } },
    })
    const before = with_(runOf({ prefillMs: 200 }), telling(20))
    const after = with_(afterOf({ prefillMs: 400 }), telling(220))
    const found = attributed(compared(before, after))
    expect(delta(found, 'queue')).toBeCloseTo(200, 0)
    expect(Math.abs(delta(found, 'prefill'))).toBeLessThan(10)
  })

  it('of a p95 tells the make-up of the slowest requests', () => {
    const found = attributed(compared(runOf({}, { load: 0.8 }), afterOf({ slots: 13 }, { load: 0.8 })), 'ttft-p95')
    expect(delta(found, 'queue') / found.deltaMs).toBeGreaterThan(0.95)
  })
})

describe('the gate', () => {
  const before = runOf()
  const fingerprint = (region: string) => (run: BenchRun) => ({ fingerprint: { ...run.fingerprint, region } })
  const option =
    (more: Partial<BenchRun['options']>) =>
    (run: BenchRun): Partial<BenchRun> => ({ options: { ...run.options, ...more } })
  const none = (): Partial<BenchRecord> => ({})

  it.each<[string, MeasuredRun, MeasuredRun, string]>([
    ['other prompts', before, with_(afterOf(), ({ promptHash }) => ({ promptHash: `${promptHash}x` })), 'Prompts'],
    ['another workload', before, with_(afterOf(), none, option({ workload: 'rag' })), 'workloads chat and rag'],
    [
      'shorter answers',
      before,
      with_(afterOf(), ({ tokens }) => ({ tokens: { ...tokens, completion: Math.round(tokens.completion * 0.62) } })),
      'Output length: −38%',
    ],
    [
      'a cache',
      before,
      with_(afterOf(), ({ index }) => ({ cache: index % 4 === 0 ? 'hit' : 'miss' })),
      'answers 0% and 25%',
    ],
    [
      'a rate that was not held',
      before,
      with_(afterOf(), none, ({ rounds }) => ({ rounds: rounds.map((r) => ({ ...r, sentRate: r.sentRate * 0.8 })) })),
      'Rate held',
    ],
    ['many errors', before, afterOf({ errorShare: 0.2 }), 'Errors: 0% and'],
    ['another model', before, with_(afterOf(), none, option({ model: 'other' })), 'Model: demo and other'],
    [
      'another region',
      with_(before, none, fingerprint('fra')),
      with_(afterOf(), none, fingerprint('iad')),
      'Region: fra and iad',
    ],
    ['another load', before, with_(afterOf(), none, option({ load: { kind: 'closed', concurrency: 4 } })), '4 at once'],
    [
      'a client that was the bottleneck',
      before,
      with_(afterOf(), none, () => ({
        validity: { isValid: false, checks: [{ name: 'cpu', isMet: false, decides: true, text: 'CPU 97 %' }] },
      })),
      'after is invalid: CPU 97 %',
    ],
    ['a run that was broken off', before, with_(afterOf(), none, () => ({ brokenOff: 'by the user' })), 'broken off'],
  ])('refuses %s: no verdict, only the reason', (_name, one, other, reason) => {
    const found = compared(one, other)
    expect(found.verdict).toBe('not-comparable')
    expect(found.sentence).toContain(reason)
    expect([found.effects, found.attributions, found.cause]).toEqual([[], [], null])
    expect(judge(found, other, 'regress', false).code).toBe(3)
    expect(consoleLines(found)[0]).toContain('NOT COMPARABLE')
    expect(htmlOf(found)).not.toContain('What changed')
  })

  it.each<[string, MeasuredRun, string, string]>([
    [
      'another machine of the client',
      with_(afterOf(), none, ({ fingerprint }) => ({ fingerprint: { ...fingerprint, cpus: 16, node: '24.9' } })),
      'machine',
      'test, 2 CPUs, Node 24, Sluice 0.1.0; test, 16 CPUs, Node 24.9, Sluice 0.1.0',
    ],
    ['other goals', with_(afterOf(), none, option({ slo: readSlo('ttft<900ms') })), 'goals', 'none; ttft<900ms'],
  ])('tells of %s, and compares all the same', (_name, other, name, text) => {
    const found = compared(before, other)
    expect(found.verdict).not.toBe('not-comparable')
    const check = found.checks.find((each) => each.name === name)!
    expect([check.state, check.text]).toEqual(['warns', text])
    expect(consoleLines(found).join('\n')).toContain(text)
    expect(compared(before, before).checks.find((each) => each.name === name)!.state).toBe('same')
  })

  it('takes what is meant to differ, and says so', () => {
    const other = with_(afterOf(), none, option({ model: 'other' }))
    const found = compared(before, other, ['model'])
    expect(found.verdict).not.toBe('not-comparable')
    expect(found.checks.find(({ name }) => name === 'model')!.state).toBe('warns')
    // Their tokens are not the same: the pace that decides is that of characters
    expect(found.effects.find(({ metric }) => metric === 'ms-per-char')!.adjustedP).not.toBeNull()
    expect(found.effects.find(({ metric }) => metric === 'tpot-p50')!.adjustedP).toBeNull()
  })

  it('compares other seeds without pairs, and says so', () => {
    const found = compared(before, afterOf({}, { seed: 2 }), ['output', 'rate'])
    expect([found.method.test, found.method.note]).toEqual(['unpaired', 'seeds 1 and 2'])
    expect(found.details[0]).toContain('unpaired')
  })

  it.each<[string, Partial<BenchRun['options']>, string]>([
    ['another rate', { load: { kind: 'open', rate: 2.5, arrivals: { kind: 'constant' } } }, ' a second '],
    ['other rounds', { roundRequests: 25 }, 'rounds of 60 requests and of 25 requests'],
  ])('compares %s without pairs, and calls prompts and arrivals no more than they are', (_name, other, note) => {
    const found = compared(before, with_(afterOf(), none, option(other)), ['load', 'rate'])
    expect(found.verdict).not.toBe('not-comparable')
    expect(found.method).toMatchObject({ test: 'unpaired', note: expect.stringContaining(note) as string })
    expect(found.details[0]).not.toContain('same prompts and arrivals')
    expect(found.checks[0]).toMatchObject({ state: 'warns', text: expect.stringContaining(note) as string })
  })

  it('knows of the results of other tools what they tell, and calls nothing else the same', () => {
    const theirs = (tokens: number, seconds: number): MeasuredRun => {
      const all = <T>(value: T): T[] => Array.from({ length: 200 }, () => value)
      const text = JSON.stringify({
        ...{ model_id: 'm', request_rate: 5, burstiness: 1, max_concurrency: null, date: '20261126-214500' },
        ...{ input_lens: all(tokens), output_lens: all(2), ttfts: all(seconds), itls: all([0.01]), errors: all('') },
        start_times: all(0).map((_, i) => i / 5),
      })
      return importResult('vllm', text, { id: 'bench_1', label: 'theirs', sluice: '0', wallMs: 1 })
    }
    const found = compared(theirs(100, 0.2), theirs(20_000, 0.9))
    expect(found.verdict).toBe('not-comparable')
    expect(found.sentence).toContain('Prompts and arrivals: 100 and 20000 tokens long')
    const alike = compared(theirs(100, 0.2), theirs(101, 0.9))
    expect(alike.method.test).toBe('unpaired')
    const unknown = alike.checks.filter(({ state }) => state === 'unknown').map(({ name }) => name)
    expect(unknown).toEqual(['prompts', 'cache', 'client'])
    expect(consoleLines(alike).join('\n')).toContain('○ Cache hits: not known')
    expect(htmlOf(alike)).toContain('○ Prompts and arrivals')
  })

  it('compares fewer than eight rounds without pairs: none of the figures that decide could be called changed', () => {
    const found = compared(runOf({}, { rounds: 6 }), afterOf({ holdMs: 500 }, { rounds: 6 }))
    expect([found.method.test, outcome(found, 'ttft-mean')]).toEqual(['unpaired', 'worse'])
  })
})

describe('outcomes', () => {
  it('says that nothing changed, and what would have been seen', () => {
    const found = compared(runOf(), afterOf())
    expect([found.verdict, found.sentence]).toEqual(['no-change', 'Nothing changed.'])
    for (const effect of found.effects) expect(effect.detectable).toBeGreaterThanOrEqual(0)
    expect(found.details[1]).toMatch(/TTFT, mean \([\d.]+ ms would have been seen\)/)
  })

  it('says what it can not tell', () => {
    const found = compared(runOf({ noise: 0.9 }, { requests: 6 }), afterOf({ noise: 0.9 }, { requests: 6 }))
    expect(found.verdict).toBe('cant-tell')
    expect(found.sentence).toMatch(/^Can’t tell: /)
  })

  it('calls a change for the better that', () => {
    const found = compared(runOf({ holdMs: 500 }), afterOf())
    expect([found.verdict, found.next]).toEqual(['better', null])
    expect(found.sentence).toContain('Time to first token is better by 500 ms')
  })

  it('judges throughput in a closed loop alone: a rate that was sent is no finding', () => {
    const closed = (run: BenchRun): Partial<BenchRun> => ({
      options: { ...run.options, load: { kind: 'closed', concurrency: 4 } },
    })
    const decides = (found: Comparison): boolean =>
      found.effects.find(({ metric }) => metric === 'tokens-per-second')!.adjustedP !== null
    expect(decides(compared(runOf(), afterOf()))).toBe(false)
    expect(
      decides(
        compared(
          with_(runOf(), () => ({}), closed),
          with_(afterOf(), () => ({}), closed),
        ),
      ),
    ).toBe(true)
  })

  it('has no TTFT of answers that do not stream', () => {
    const whole = (run: MeasuredRun) => with_(run, () => ({ firstToken: null, firstOutput: null }))
    const found = compared(whole(runOf()), whole(afterOf()))
    expect(found.effects.map(({ metric }) => metric)).toEqual(['e2e-p95', 'errors', 'tokens-per-second'])
  })

  it('has nothing to say of runs without a request', () => {
    const empty = { run: runOf().run, records: [] }
    expect(compared(empty, empty).verdict).toBe('not-comparable')
  })

  const fine = compared(runOf(), afterOf())
  const worse = compared(runOf(), afterOf({ holdMs: 500 }))
  const better = compared(runOf({ holdMs: 500 }), afterOf())
  const unsure = compared(runOf({ noise: 0.9 }, { requests: 6 }), afterOf({ noise: 0.9 }, { requests: 6 }))

  it.each<[string, Comparison, FailOn, boolean, number]>([
    ['nothing', fine, 'regress', true, 0],
    ['worse', worse, 'regress', false, 1],
    ['better', better, 'regress', true, 0],
    ['better, on any', better, 'any', false, 1],
    ['unsure', unsure, 'regress', false, 0],
    ['unsure, strict', unsure, 'regress', true, 4],
    ['conditions that hold, though it is worse', worse, readSlo('ttft.p95<2s,error<1%'), false, 0],
    ['conditions that do not', fine, readSlo('ttft.p95<20ms'), false, 1],
  ])('exit codes: %s', (_name, found, failOn, isStrict, code) =>
    expect(judge(found, afterOf(), failOn, isStrict).code).toBe(code),
  )
})

describe('as text', () => {
  const label = '<script>alert(1)</script>|@all'
  const found = compared(runOf(), afterOf({ holdMs: 500 }, { label }))

  it('prints "unexplained" always, and a word for each figure', () => {
    const lines = consoleLines(found)
    expect(lines.filter((line) => line.includes('unexplained'))).toHaveLength(3)
    expect(lines.find((line) => line.startsWith('TTFT, mean'))).toMatch(
      /\+50\d ms \[\+\d+ ms, \+\d+ ms\] +p=0\.039 {2}WORSE$/,
    )
    expect(lines.find((line) => line.startsWith('TPOT, p50'))).toMatch(
      /NO CHANGE \(within 5%; could have seen [\d.]+ ms\)$/,
    )
  })

  it('is a page that a screen reader and a keyboard can use, and shows the rounds of what changed', () => {
    const page = htmlOf(compared(runOf(), afterOf({ paceMs: 30 })))
    expect(page).toMatch(/<main><h1>/)
    expect(page).not.toMatch(/<th[^>]*><\/th>|<section>/)
    expect(page).toContain('Round by round: TPOT, p50')
  })

  it('lets no label out of its cell', () => {
    const markdown = markdownOf(found)
    expect(markdown).not.toMatch(/<script|@all/)
    for (const line of markdown.split('\n').filter((each) => each.startsWith('|')))
      expect(line.split('|')).toHaveLength(7)
    const html = htmlOf(found)
    expect(html).not.toContain('<script')
    expect(html).not.toMatch(/(?:src|href)=/)
    expect(html.length).toBeLessThan(50_000)
  })
})
