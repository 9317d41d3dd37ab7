/** What prompts weigh, and what is learned from what they turned out to weigh. */
import { describe, expect, it } from 'vitest'
import type { Prompt } from '../../core/ports/weights.ts'
import { Factors } from './factors.ts'
import { familyOf, isO200k, plainName } from './family.ts'
import { tokensIn, vocabulary } from './testing/vocabulary.ts'
import { type Ended, Weights } from './weights.ts'

const NOTHING: Prompt = { texts: [], media: [], frameTokens: 0, syntaxTokens: 0, unreadBytes: 0 }
const TEXT = 'Which of these fifty contracts can be terminated before the end of the year?'
const prompt: Prompt = { ...NOTHING, texts: [TEXT], frameTokens: 7 }
const OWN = tokensIn(TEXT) + 7
const asked = { tenant: 'acme', model: 'gpt-4o', prompt }
const weights = (): Weights => new Weights(vocabulary, 1)

const ended = (promptTokens: number, more: Partial<Ended> = {}): Ended => ({
  state: 'done',
  usage: { promptTokens, completionTokens: 100, reasoningTokens: 30, estimated: false },
  timing: { queuedMs: 0, totalMs: 1, attempts: 1 },
  ...more,
})
/** Its end, as it is told. */
const end = (some: Weights, job: string, promptTokens: number, more?: Partial<Ended>): void =>
  some.ended(job, () => ended(promptTokens, more))

describe('the weight of a prompt', () => {
  it('is its texts and its frames, counted', () => {
    expect(weights().weigh(asked)).toEqual({ tokens: OWN, own: OWN, exact: true, family: 'gpt-4o', isPlain: true })
  })

  it.each<[string, string, Partial<Prompt>, number]>([
    ['another vocabulary', 'claude-sonnet-4-5', {}, OWN],
    ['a schema', 'gpt-4o', { syntaxTokens: 10 }, OWN + 10],
    ['a file', 'gpt-4o', { media: [{ text: 'file-1', name: 'file_id', detail: undefined }] }, OWN + 1_000],
    ['what was not read', 'gpt-4o', { unreadBytes: 401 }, OWN + 101],
  ])('is an estimate with %s', (_name, model, more, own) => {
    expect(weights().weigh({ ...asked, model, prompt: { ...prompt, ...more } })).toMatchObject({ own, exact: false })
  })

  it('is one at least', () => {
    expect(weights().weigh({ ...asked, prompt: NOTHING }).tokens).toBe(1)
  })
})

describe('what is learned', () => {
  /** So many prompts that turned out as heavy. */
  const taught = (times: number, promptTokens: number, more: Partial<Ended> = {}): Weights => {
    const some = weights()
    for (let i = 0; i < times; i++) {
      const weight = some.weigh(asked)
      some.accepted(`job_${i}`, asked, weight)
      end(some, `job_${i}`, promptTokens, more)
    }
    return some
  }

  it('corrects the next estimates of the tenant and the family, and leaves the rest', () => {
    const some = taught(200, Math.round(OWN * 1.3))
    const { tokens, own } = some.weigh({ ...asked, model: 'gpt-4o-mini' })
    expect(own).toBe(OWN)
    expect(tokens / OWN).toBeGreaterThan(1.2)
    expect(tokens / OWN).toBeLessThan(1.35)
    expect(some.weigh({ ...asked, model: 'claude-sonnet-4-5' }).tokens).toBe(OWN)
  })

  it('is not thrown off by many that are under way at once', () => {
    const some = weights()
    const weight = some.weigh(asked)
    for (let i = 0; i < 500; i++) some.accepted(`job_${i}`, asked, weight)
    for (let i = 0; i < 500; i++) end(some, `job_${i}`, Math.round(OWN * 1.3))
    expect(some.weigh(asked).tokens / OWN).toBeLessThan(1.35)
    expect(some.weigh(asked).tokens / OWN).toBeGreaterThan(1.15)
  })

  it('goes on where a few that take for ever are remembered', () => {
    const some = weights()
    const weight = some.weigh(asked)
    for (let i = 0; i < 100; i++) some.accepted(`stays_${i}`, asked, weight)
    for (let i = 0; i < 400; i++) {
      some.accepted(`job_${i}`, asked, weight)
      end(some, `job_${i}`, 2 * OWN)
    }
    expect(some.weigh(asked).tokens / OWN).toBeGreaterThan(1.3)
  })

  it.each<[string, Partial<Ended>]>([
    ['that failed', { state: 'failed' }],
    ['whose usage is an estimate of ours', { usage: { promptTokens: 99, completionTokens: 1, estimated: true } }],
    ['without usage', { usage: undefined }],
    ['of two attempts, whose usage is a sum', { timing: { queuedMs: 0, totalMs: 1, attempts: 2 } }],
  ])('is nothing from a job %s', (_name, more) => {
    expect(taught(50, Math.round(OWN * 1.3), more as Partial<Ended>).weigh(asked).tokens).toBe(OWN)
  })

  it('is nothing from images, nor from a job that this process did not take', () => {
    const some = weights()
    const media = [{ text: 'file-1', name: 'file_id', detail: undefined }]
    const heavy = { ...asked, prompt: { ...prompt, media } }
    for (let i = 0; i < 50; i++) {
      some.accepted(`job_${i}`, heavy, some.weigh(heavy))
      end(some, `job_${i}`, 3 * OWN)
      end(some, `other_${i}`, 3 * OWN)
    }
    expect(some.weigh(asked).tokens).toBe(OWN)
  })

  it('how long a conversation is, by its last turn; its own turn is weighed as ever', () => {
    const some = weights()
    const turn = { ...asked, conversation: 'c' }
    expect(some.weigh(turn)).toEqual({ tokens: OWN, own: OWN, exact: true, family: 'gpt-4o', isPlain: false })
    some.accepted('job_1', turn, some.weigh(turn))
    end(some, 'job_1', 5_000)
    // Its prompt, and its answer without the reasoning, which is not sent again
    expect(some.weigh(turn)).toMatchObject({ tokens: 5_000 + 70 + OWN, own: OWN })
    expect(some.weigh({ ...turn, tenant: 'else' }).tokens).toBe(OWN)
    expect(some.weigh({ ...turn, conversation: 'd' }).tokens).toBe(OWN)
    // Nothing about texts
    expect(some.weigh(asked).tokens).toBe(OWN)
  })

  it('is bounded: what was long ago is forgotten', () => {
    const some = weights()
    const weight = some.weigh(asked)
    const turn = (i: number) => ({ ...asked, conversation: `c${i}` })
    some.accepted('first', asked, weight)
    for (let i = 0; i < 20_000; i++) some.accepted(`job_${i}`, turn(i), weight)
    end(some, 'first', 4 * OWN)
    expect(some.weigh(asked).tokens).toBe(OWN)
    end(some, 'job_10001', 4 * OWN)
    expect(some.weigh(turn(10_001)).tokens).toBeGreaterThan(4 * OWN)
  })

  it('is learned once, however often the end is told', () => {
    const some = weights()
    some.accepted('job_1', asked, some.weigh(asked))
    end(some, 'job_1', 4 * OWN)
    const { tokens } = some.weigh(asked)
    end(some, 'job_1', 4 * OWN)
    expect(some.weigh(asked).tokens).toBe(tokens)
    some.ended('job_2', () => expect.unreachable())
  })
})

describe('the factor', () => {
  it('is what was reported for each token estimated, by their weight', () => {
    const factors = new Factors()
    expect(factors.get('acme', 'claude')).toBe(1)
    for (let i = 0; i < 300; i++) factors.learn('acme', 'claude', 1_000, 1_200)
    expect(factors.get('acme', 'claude')).toBeCloseTo(1.2, 2)
    // A greeting with a hidden instruction of 30 tokens
    factors.learn('acme', 'claude', 10, 40)
    expect(factors.get('acme', 'claude')).toBeCloseTo(1.2, 1)
  })

  it('follows a change, and stays within bounds', () => {
    const factors = new Factors()
    for (let i = 0; i < 100; i++) factors.learn('acme', 'm', 1_000, 800)
    for (let i = 0; i < 100; i++) factors.learn('acme', 'm', 1_000, 3_900)
    expect(factors.get('acme', 'm')).toBe(2.5)
    for (let i = 0; i < 100; i++) factors.learn('acme', 'm', 1_000, 260)
    expect(factors.get('acme', 'm')).toBe(0.5)
  })

  it.each([
    [0, 10],
    [1_000, 4_001],
    [1_000, 249],
    [1_000, 0],
    [1_000, Number.NaN],
  ])('learns nothing where %i tokens turn out to be %i', (estimated, reported) => {
    const factors = new Factors()
    for (let i = 0; i < 100; i++) factors.learn('acme', 'm', estimated, reported)
    expect(factors.get('acme', 'm')).toBe(1)
  })

  it('of a tenant begins with what all have seen, and is its own from then on', () => {
    const factors = new Factors()
    for (let i = 0; i < 100; i++) factors.learn('acme', 'm', 1_000, 2_000)
    expect(factors.get('new', 'm')).toBeCloseTo(2, 1)
    for (let i = 0; i < 100; i++) factors.learn('new', 'm', 1_000, 1_000)
    expect(factors.get('new', 'm')).toBeCloseTo(1, 1)
    expect(factors.get('acme', 'm')).toBeCloseTo(2, 1)
  })

  it('is kept for as many as there is room for: those that learned last', () => {
    const factors = new Factors()
    factors.learn('acme', 'first', 1_000, 2_000)
    for (let i = 0; i < 3_000; i++) factors.learn('acme', `m${i}`, 1_000, 2_000)
    expect(factors.get('acme', 'first')).toBe(1)
    expect(factors.get('acme', 'm2999')).toBeGreaterThan(1)
  })
})

it.each([
  ['gpt-4o-mini-2024-07-18', 'gpt-4o', true],
  ['gpt-4.1', 'gpt-4.1', true],
  ['gpt-4-turbo', 'gpt-4', false],
  ['gpt-3.5-turbo', 'gpt-3.5', false],
  ['gpt-5', 'gpt-5', true],
  ['o3-mini', 'o3', true],
  ['claude-sonnet-4-5', 'claude', false],
  ['anthropic/claude-opus-4', 'claude', false],
  ['meta-llama/Llama-3.1-70B-Instruct', 'llama-3.1', false],
  ['@cf/openai/gpt-oss-120b', 'gpt', true],
  ['text-embedding-3-small', 'text', false],
  ['7b', '7b', false],
])('%s is of the family %s', (model, family, o200k) => {
  expect(familyOf(plainName(model))).toBe(family)
  expect(isO200k(plainName(model))).toBe(o200k)
})
