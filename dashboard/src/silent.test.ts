import { expect, it } from 'vitest'
import { withoutWords } from './silent.ts'

const node = (id: string, silentMs: number) => ({ id, role: 'all', coordinates: false, silentMs }) as const

it('names the nodes whose figures are in no sum', () => {
  expect(withoutWords([node('vm:1', 0), node('vm:2', 3_000)])).toBeNull()
  expect(withoutWords([node('vm:1', 0), node('vm:2', 3_001)])).toBe('Without the figures of vm:2, which is silent.')
  const five = [1, 2, 3, 4, 5].map((n) => node(`vm:${n}`, 9_000))
  expect(withoutWords(five)).toBe('Without the figures of vm:1, vm:2, vm:3 and 2 more, which are silent.')
})
