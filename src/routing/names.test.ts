import { expect, it } from 'vitest'
import { deploymentNames, type Named } from './names.ts'

const at = (place: string, more: Partial<Named> = {}): Named => ({
  name: 'chat',
  deployment: null,
  place,
  upstreamModel: null,
  identity: place,
  ...more,
})
const openai = (upstreamModel: string | null, key = 'A'): Named =>
  at('api.openai.com', { upstreamModel, identity: `api.openai.com ${key}` })

it('a model at a host; more only where two would be called so', () => {
  expect(deploymentNames([openai('gpt-4.1'), at('10.0.0.7:8000'), at('demo', { name: 'demo' })])).toEqual([
    'chat@api.openai.com',
    'chat@10.0.0.7:8000',
    'demo@demo',
  ])
  expect(deploymentNames([openai('gpt-4.1'), openai('gpt-4.1-mini'), openai(null)])).toEqual([
    'chat@api.openai.com/gpt-4.1',
    'chat@api.openai.com/gpt-4.1-mini',
    'chat@api.openai.com',
  ])
})

it('two keys of one host are told apart by what they are, and only true twins by their number', () => {
  const [a, b, ...twins] = deploymentNames([openai('m', 'A'), openai('m', 'B'), at('h'), at('h'), at('h')])
  expect(new Set([a, b]).size).toBe(2)
  for (const name of [a, b]) expect(name).toMatch(/^chat@api\.openai\.com#[0-9a-f]{4}$/)
  expect(twins).toEqual(['chat@h', 'chat@h#2', 'chat@h#3'])
})

it('is the same wherever it stands in the configuration', () => {
  const all = [openai('m', 'A'), openai('m', 'B'), openai('n', 'A'), at('h'), at('h', { deployment: 'spare' })]
  const named = (list: readonly Named[]) => new Map(deploymentNames(list).map((name, i) => [list[i], name]))
  const names = named(all)
  expect(new Set(names.values()).size).toBe(all.length)
  for (const [i, first] of all.entries()) expect(named([first, ...all.toSpliced(i, 1)])).toEqual(names)
  for (const each of named([at('other'), ...all])) if (names.has(each[0])) expect(each[1]).toBe(names.get(each[0]))
})

it('is never that of another, whatever upstreams call their models', () => {
  const odd = [openai('x'), openai('x'), openai('x#2'), openai('x#2'), openai('x#3')]
  const names = deploymentNames(odd)
  expect(new Set(names).size, names.join(' ')).toBe(odd.length)
})

it('is what the operator calls it', () => {
  expect(deploymentNames([at('h', { deployment: 'main' }), at('h')])).toEqual(['main', 'chat@h'])
})
