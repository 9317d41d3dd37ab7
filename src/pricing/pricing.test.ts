/** Prices: exact sums, and the same as the package that they were made from has. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { genaiPrices, priceData, priceFile } from '../../scripts/prices.ts'
import { depth } from '../../test/depth.ts'
import type { Tokens } from '../core/ports/prices.ts'
import { Book, type BookData } from './book.ts'
import { createPrices, type Sold } from './prices.ts'
import { costOf, perMillion, type Rates } from './rates.ts'

const FILE = readFileSync(new URL('./prices.json', import.meta.url), 'utf8')
const DATA = JSON.parse(FILE) as BookData
const book = new Book(DATA)
const AT = Date.parse('2026-11-26T12:00:00Z')

describe('the cost of a call', () => {
  const rates: Rates = { input: 2_500_000, cachedInput: 1_250_000, output: 10_000_000 }
  it.each<[string, Tokens, Rates, number]>([
    ['nothing', { input: 0, output: 0 }, rates, 0],
    ['a token of each', { input: 1, output: 1 }, rates, 12_500],
    ['cached input is part of the input', { input: 1000, cachedInput: 400, output: 0 }, rates, 2_000_000],
    ['reasoning without a rate is output', { input: 0, output: 10, reasoning: 8 }, rates, 100_000],
    ['reasoning with one', { input: 0, output: 10, reasoning: 8 }, { output: 1_000, reasoning: 3_000 }, 26],
    [
      'audio, some of it cached',
      { input: 10, inputAudio: 6, cachedInput: 3, cachedAudio: 2, output: 0 },
      { input: 1_000, cachedInput: 100_000, inputAudio: 10_000_000, cachedAudio: 1_000_000_000, output: 0 },
      // 3 of text, 1 of cached text, 4 of audio, 2 of cached audio
      3 + 100 + 40_000 + 2_000_000,
    ],
    [
      'what is cached for an hour',
      { input: 10, cacheWrite: 6, cacheWriteLong: 4, output: 0 },
      { input: 1_000, cacheWrite: 10_000, cacheWriteLong: 100_000 },
      4 + 20 + 400,
    ],
    ['more cached than there was', { input: 5, cachedInput: 9, output: 0 }, rates, 11_250],
    [
      'images, seconds and characters, beside a token',
      { input: 1, output: 0, images: 3, audioMs: 2_501, characters: 7 },
      { input: 1_000, images: 40_000_000_000, audioMs: 100_000, characters: 15_000_000 },
      1 + 120_000_000 + 250_100 + 105_000,
    ],
    ['units that have no rate', { input: 0, output: 0, images: 3 }, { input: 1_000 }, 0],
    ['a request', { input: 1, output: 0 }, { input: 1_000, request: 5_000_000_000 }, 5_000_001],
    ['rounded once, from half up', { input: 1, output: 1 }, { input: 250, output: 250 }, 1],
    ['… and not for each kind', { input: 1, output: 1 }, { input: 249, output: 250 }, 0],
    ['the small prompt', { input: 200_000, output: 1 }, tiered(), 200_000 + 5],
    ['the large prompt: all of it, and the answer', { input: 200_001, output: 1 }, tiered(), 400_002 + 7],
  ])('%s', (_name, tokens, by, nanoDollars) => {
    expect(costOf(tokens, by)).toBe(nanoDollars)
  })

  function tiered(): Rates {
    const at = (base: number, rate: number) => ({ base, tiers: [{ above: 200_000, rate }] })
    return { input: at(1_000, 2_000), output: at(5_000, 7_000) }
  }

  it('is exact where products exceed 2^53', () => {
    const count = fc.integer({ min: 0, max: 2 ** 31 })
    const rate = fc.integer({ min: 0, max: 2_000_000_000 })
    fc.assert(
      fc.property(count, count, rate, rate, (input, output, a, b) => {
        const exact = (BigInt(input) * BigInt(a) + BigInt(output) * BigInt(b) + 500n) / 1000n
        const told = exact > BigInt(Number.MAX_SAFE_INTEGER) ? BigInt(Number.MAX_SAFE_INTEGER) : exact
        expect(BigInt(costOf({ input, output }, { input: a, output: b }))).toBe(told)
      }),
      { numRuns: depth(20_000, 2_000) },
    )
  })
})

describe('the price list', () => {
  it('is what `npm run data` makes of the package', async () => {
    expect(priceFile(await priceData())).toBe(FILE)
  })

  it('has integers only', () => {
    const numbers: number[] = []
    JSON.parse(FILE, (key, value: unknown) => {
      if (typeof value === 'number' && key !== 'fromMs') numbers.push(value)
      return value
    })
    expect(numbers.length).toBeGreaterThan(4_000)
    expect(numbers.filter((n) => !Number.isSafeInteger(n) || n < 0)).toEqual([])
  })

  const USAGES: ReadonlyArray<readonly [Tokens, Record<string, number>]> = [
    [
      { input: 1_234, output: 567 },
      { input_tokens: 1_234, output_tokens: 567 },
    ],
    [
      { input: 123_457, cachedInput: 100_001, cacheWrite: 3_333, output: 4_321, reasoning: 4_000 },
      {
        input_tokens: 123_457,
        cache_read_tokens: 100_001,
        cache_write_tokens: 3_333,
        output_tokens: 4_321,
        output_reasoning_tokens: 4_000,
      },
    ],
    [
      {
        input: 300_003,
        cachedInput: 7,
        inputAudio: 77,
        cachedAudio: 5,
        cacheWrite: 100,
        cacheWriteLong: 50,
        output: 1_999,
        outputAudio: 99,
      },
      {
        input_tokens: 300_003,
        cache_read_tokens: 7,
        input_audio_tokens: 77,
        cache_audio_read_tokens: 5,
        cache_write_tokens: 100,
        cache_write_1h_tokens: 50,
        output_tokens: 1_999,
        output_audio_tokens: 99,
      },
    ],
  ]
  const TIMES = ['2025-01-15T08:00:00Z', '2026-08-20T02:00:00Z', '2026-11-26T23:59:59Z', '2027-06-01T12:00:00Z']

  /** A twelfth of a dollar: these are rounded to a millionth, which is a thousandth of a nano-dollar a token. */
  const FRACTIONS = /^openrouter\/~?google\/gemini-(?:2\.5-flash|3|flash-latest)/

  const theirs = (usage: Record<string, number>, provider: string, model: string, at: number): number | null => {
    const found = genaiPrices.calcPrice(usage, model, { providerId: provider, timestamp: new Date(at) })
    return found === null ? null : found.total_price * 1e9
  }

  it('prices every model of it as the package does, to the nano-dollar', () => {
    const unlike: string[] = []
    let compared = 0
    for (const { id: provider, models } of DATA.providers)
      for (const { id: model } of models)
        for (const time of TIMES) {
          const at = Date.parse(time)
          const rates = book.rates({ id: provider }, model, at)
          for (const [tokens, usage] of USAGES) {
            const theirPrice = theirs(usage, provider, model, at)
            if (rates === null) {
              // Not sold by the token: by the hour, the page, or the picture
              if (theirPrice !== null && theirPrice > 0) unlike.push(`${provider}/${model}: ${theirPrice}, ours none`)
              continue
            }
            compared++
            const ours = costOf(tokens, rates)
            const within = 0.5 + 1e-9 * (theirPrice ?? 0) + (FRACTIONS.test(`${provider}/${model}`) ? 1 : 0)
            if (theirPrice === null || Math.abs(ours - theirPrice) > within)
              unlike.push(`${provider}/${model} at ${time}: ${theirPrice}, ours ${ours}`)
          }
        }
    expect(unlike).toEqual([])
    expect(compared).toBeGreaterThan(15_000)
  })
})

describe('whose price', () => {
  const sold = (more: Partial<Sold>): Sold => ({
    order: 0,
    upstreamModel: null,
    seller: { id: 'openai' },
    rates: null,
    ...more,
  })
  const soldBy = (all: readonly Sold[]) => ({
    model: (name: string) => (name === 'none' ? null : all),
    deployment: (name: string) => all.find((_, i) => name === `d${i}`) ?? null,
  })
  const pricesOf = (...all: readonly Sold[]) => createPrices(() => book, soldBy(all))
  const price = (model: string, ...all: readonly Sold[]) => {
    const found = pricesOf(...all).of(model, AT)
    if (found === null || 'reason' in found) return found
    return [found.version, found.cost({ input: 1_000, output: 1_000 })]
  }

  it.each<[string, string, Sold[], unknown]>([
    ['the settings come first', 'gpt-4o', [sold({ rates: { input: 7, output: 0 } })], ['settings', 7]],
    ['the list of its provider', 'gpt-4o', [sold({})], [DATA.version, 12_500_000]],
    ['by the name that is sent', 'fast', [sold({ upstreamModel: 'gpt-4o' })], [DATA.version, 12_500_000]],
    [
      'by its address',
      'deepseek-chat',
      [sold({ seller: { url: 'https://api.deepseek.com/v1' } })],
      [DATA.version, expect.any(Number)],
    ],
    ['a date as others write it', 'gpt-4o-20240806', [sold({})], [DATA.version, 12_500_000]],
    [
      'what a provider sells for another',
      'claude-3-haiku',
      [sold({ seller: { id: 'azure' } })],
      [DATA.version, 1_500_000],
    ],
    ['an own engine', 'llama', [sold({ seller: { url: 'http://10.1.2.3:8000/v1' } })], ['own', 0]],
    ['the demo', 'demo', [sold({ seller: 'own' })], ['own', 0]],
    ['of two the dearer', 'gpt-4o', [sold({ rates: { input: 1 } }), sold({ rates: { input: 3 } })], ['settings', 3]],
    [
      'not of a spare one',
      'gpt-4o',
      [sold({ rates: { input: 1 } }), sold({ rates: { input: 3 }, order: 1 })],
      ['settings', 1],
    ],
    ['no such model', 'none', [sold({})], null],
  ])('%s', (_name, model, all, expected) => {
    expect(price(model, ...all)).toEqual(expected)
  })

  it('whichever deployment answers: of all of them the dearest, and none where one has none', () => {
    const spare = (more: Partial<Sold>) => sold({ order: 1, ...more })
    const own = sold({ seller: 'own' })
    const dearest = (model: string, ...all: readonly Sold[]) => {
      const found = pricesOf(...all).dearest(model, AT)
      return found !== null && 'cost' in found ? found.cost({ input: 1_000, output: 1_000 }) : found
    }
    expect(dearest('gpt-4o', own, spare({}))).toBe(12_500_000)
    expect(dearest('gpt-4o', spare({}), sold({ rates: { input: 1 } }))).toBe(12_500_000)
    expect(dearest('gpt-99', own, spare({}))).toEqual({ reason: expect.stringContaining('gpt-99') })
    expect(dearest('llama', own)).toBe(0)
    expect(dearest('none', own)).toBe(null)
  })

  it.each<[string, string, Sold]>([
    ['an unknown model', 'gpt-99', sold({})],
    ['an unknown provider', 'm', sold({ seller: { url: 'https://models.example.com/v1' } })],
    ['one that is not sold by the token', 'whisper-1', sold({})],
  ])('%s has none, and that is told', (_name, model, one) => {
    expect(price(model, one)).toEqual({ reason: expect.stringContaining('give') })
  })

  it('one that has none counts at a default, where there is one; others at their own price', () => {
    const otherwise: Rates = { input: 1_000, output: 1_000 }
    const cost = (model: string, one: Sold) => {
      const found = createPrices(
        () => book,
        soldBy([one]),
        () => otherwise,
      ).of(model, AT)
      return found !== null && 'cost' in found ? [found.version, found.cost({ input: 1_000, output: 1_000 })] : found
    }
    const elsewhere = sold({ seller: { url: 'https://models.example.com/v1' } })
    expect([cost('gpt-99', sold({})), cost('m', elsewhere)]).toEqual([
      ['unpriced', 2_000],
      ['unpriced', 2_000],
    ])
    expect(cost('gpt-4o', sold({}))).toEqual([DATA.version, 12_500_000])
    expect(cost('m', sold({ seller: { url: 'http://localhost:8000' } }))).toEqual(['own', 0])
  })

  it.each([
    ['http://localhost:8000', true],
    ['http://vllm:8000/v1', true],
    ['http://[::1]:1/', true],
    ['http://[fd00::1]/', true],
    ['http://172.20.1.1/', true],
    ['http://gpu.models.svc.cluster.local/', true],
    ['http://172.32.1.1/', false],
    ['https://8.8.8.8/', false],
    ['https://api.example.com/', false],
    ['https://localhost.example.com/', false],
  ])('%s is our own: %s', (url, own) => {
    expect(price('m', sold({ seller: { url } }))).toEqual(own ? ['own', 0] : { reason: expect.any(String) })
  })
})

it('a price as people write it', () => {
  expect([0.25, 2, 0.0028, 0.075, 60].map(perMillion)).toEqual([250_000, 2_000_000, 2_800, 75_000, 60_000_000])
})
