import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { planPrices } from './plan-price.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-plan-price-'))
afterAll(() => rmSync(dir, { recursive: true }))

function configOf(models: readonly object[], more: object = {}): Config {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, JSON.stringify({ models, ...more }))
  return loadConfig({ file, env: { KEY: 'a-key' } }).config
}
const AT = Date.parse('2026-11-01')
const prices = (config: Config, atMs = AT) => config.models.map(planPrices(config, atMs))
const CHEAPEST = { routing: { policy: 'cheapest' } }
const model = (provider: string, model: string, more: object = {}) => ({
  ...{ name: 'chat', provider, model, api_key: { env: 'KEY' } },
  ...more,
})
const MODELS = [
  model('anthropic', 'claude-opus-4-5'),
  model('openai', 'gpt-5-mini', { base_url: 'https://proxy.example/v1' }),
  model('openai', 'gpt-of-nobody'),
  model('openai-compatible', 'gpt-5-mini', { base_url: 'https://elsewhere.example/v1' }),
]

it('list prices, where one is chosen by them: nano-dollars a token, of who sells it; null where it lists none', () => {
  // The list's own, a million tokens: 5 and 25 dollars, 0.25 and 2 dollars
  const listed = [{ input: 5_000, output: 25_000 }, { input: 250, output: 2_000 }, null, null]
  expect(prices(configOf(MODELS, CHEAPEST))).toEqual(listed)
  // One entry that asks for it is enough
  expect(prices(configOf([{ ...MODELS[0], policy: 'cheapest' }, ...MODELS.slice(1)]))).toEqual(listed)
})

it('what the configuration says stands, a price of one side too', () => {
  const price = { price: { output: 3 } }
  expect(prices(configOf([{ ...MODELS[0], ...price }, MODELS[1]], CHEAPEST))).toEqual([
    { input: 0, output: 3_000 },
    { input: 250, output: 2_000 },
  ])
})

it('where nothing is chosen by price, the list is not read', () => {
  expect(prices(configOf([{ ...MODELS[0], price: { input: 1, output: 2 } }, MODELS[1]]))).toEqual([
    { input: 1_000, output: 2_000 },
    null,
  ])
})
