import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { loadConfig } from './load.ts'
import { checkedModel } from './model-problem.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-same-keys-'))
afterAll(() => rmSync(dir, { recursive: true }))

const ENTRY = { name: 'chat', provider: 'openai-compatible', base_url: 'http://127.0.0.1:1/v1', api_key: { env: 'K1' } }

function load(...entries: object[]) {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, JSON.stringify({ models: entries.map((entry) => ({ ...ENTRY, ...entry })) }))
  return loadConfig({ file, env: { K1: 'value-1', K2: 'value-2', ALSO1: 'value-1' } })
}

describe('a key that is named twice in one entry is refused', () => {
  it.each([
    [[{ env: 'K1' }], 'models[0].api_keys[0]: K1 is the same key as `api_key`'],
    [[{ env: 'ALSO1' }], 'models[0].api_keys[0]: ALSO1 is the same key as `api_key`'],
    [[{ env: 'K2' }, { env: 'K2' }], 'models[0].api_keys[1]: K2 is the same key as `api_keys[0]`'],
  ])('%j', (api_keys, told) => {
    expect(() => load({ api_keys })).toThrow(told)
    expect(() => load({ api_keys })).not.toThrow('value-')
  })

  it('others are not, nor the same one in another entry', () => {
    expect(load({ api_keys: [{ env: 'K2' }] }, { name: 'other', api_keys: [{ env: 'K2' }] }).warnings).toEqual([])
  })

  it('in one that is added while the server runs', () => {
    expect(checkedModel({ ...ENTRY, api_keys: [{ env: 'K1' }] })).toMatchObject({ setting: 'api_keys[0]' })
  })
})

describe('one deployment in two entries with limits by the minute is warned of', () => {
  const limits = { requests_per_minute: 4 }
  it.each([
    [{ limits }, { limits }],
    [{ limits }, {}],
    [{ limits }, { api_key: { env: 'K2' }, api_keys: [{ env: 'ALSO1' }] }],
  ])('%j, %j', (a, b) => {
    const { warnings } = load(a, b)
    expect(warnings).toEqual([expect.stringContaining('models[1]: the same model, address and key as models[0]')])
    expect(warnings[0]).not.toContain('value-')
  })

  it.each([
    [{}, {}],
    [{ limits }, { limits, api_key: { env: 'K2' } }],
    [{ limits }, { limits, model: 'm' }],
    [{ limits }, { limits, base_url: 'http://127.0.0.1:2/v1' }],
    [{ limits }, { limits, name: 'other' }],
  ])('not %j, %j', (a, b) => {
    expect(load(a, b).warnings).toEqual([])
  })
})
