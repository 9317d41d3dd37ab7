import { expect, it } from 'vitest'
import { Once } from './once.ts'

it('tells all who asked before, in order, and at once whoever asks later', () => {
  const once = new Once<string>()
  const heard: string[] = []
  for (const name of ['a', 'b', 'c']) once.when((value) => void heard.push(`${name} ${value}`))
  expect(heard).toEqual([])
  once.tell('x')
  once.when((value) => void heard.push(`d ${value}`))
  expect(heard).toEqual(['a x', 'b x', 'c x', 'd x'])
})
