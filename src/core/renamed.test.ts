import { expect, it } from 'vitest'
import { renamed } from './renamed.ts'

const of = (...all: string[]) => all.map((each) => ({ name: each.split('=')[0], identity: each.split('=')[1] }))
const pairs = (before: string[], after: string[]) => [...renamed(of(...before), of(...after))]

it('pairs a name that is gone with a new one that is made of the same', () => {
  expect(pairs(['a=1', 'b=2'], ['b=2', 'c=1'])).toEqual([['a', 'c']])
  expect(pairs(['a=1'], ['c=2'])).toEqual([])
})

it('leaves names alone that stay, whatever they are made of', () => {
  expect(pairs(['a=1', 'b=2'], ['b=1', 'a=2'])).toEqual([])
  expect(pairs(['a=1'], ['a=2', 'c=1'])).toEqual([])
  expect(pairs(['a=1', 'b=2'], ['b=1'])).toEqual([])
})

it('pairs each once, in order; none of which nobody knows what it is made of', () => {
  expect(pairs(['a=1', 'a=1', 'b=1', 'c=1'], ['x=1', 'x=1', 'y=1'])).toEqual([
    ['a', 'x'],
    ['b', 'y'],
  ])
  expect(pairs(['a'], ['b'])).toEqual([])
})
