import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { loadConfig } from '../config/load.ts'
import { changedSettings, type InForce } from './changed-settings.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-changed-'))

afterAll(() => rmSync(dir, { recursive: true }))

function inForce(yaml: string, secret = 'a secret value'): InForce {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, yaml)
  const { config } = loadConfig({ file, env: { K: secret } })
  return { config, providers: config.models.map((model) => ({ name: model.deployment ?? model.name, model })) }
}
const model = (name: string, more = ''): string =>
  `{ name: m, deployment: ${name}, provider: openai, model: x, api_key: { env: K }${more} }`

it('names what differs, by the item of a list, and no value', () => {
  const before = inForce(`http: { max_depth: 9 }
models: [${model('a')}, ${model('b')}]
tenants: [{ name: t, weight: 2 }, { name: u }]`)
  const after = inForce(`http: { max_depth: 10 }
limits: { global: { concurrent: 3 } }
models: [${model('c')}, ${model('a', ', order: 2, limits: { concurrent: 9 }')}]
tenants: [{ name: t, weight: 3 }, { name: v }]`)
  expect(changedSettings(before, after)).toEqual([
    'http.max_depth',
    'limits.global',
    'models.a.order',
    'models.a.limits',
    'models.b removed',
    'models.c added',
    'tenants.t.weight',
    'tenants.u removed',
    'tenants.v added',
  ])
  expect(changedSettings(before, before)).toEqual([])
})

it('another value under the same reference is a change, which is not told; many are counted', () => {
  const yaml = `models: [${model('a')}]`
  expect(changedSettings(inForce(yaml, 'one secret'), inForce(yaml, 'two secrets'))).toEqual(['models.a.api_key'])
  const many = `models: [${Array.from({ length: 150 }, (_, i) => model(`d${i}`)).join(', ')}]`
  const told = changedSettings(inForce(yaml, 'x'), inForce(many, 'x'))
  expect([told.length, told.at(-1)]).toEqual([101, '… and 51 more'])
})
