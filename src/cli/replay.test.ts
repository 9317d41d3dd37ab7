import { expect, it } from 'vitest'
import { keyOf } from './replay.ts'

it('ids that differ far behind have keys that differ, of at most 255 characters', () => {
  const [one, other] = ['a', 'b'].map((end) => keyOf(`replay/today/${'x'.repeat(250)}${end}`))
  expect(one).not.toBe(other)
  expect(one.length).toBeLessThanOrEqual(255)
  expect(keyOf('replay/today/job_1')).toBe('replay/today/job_1')
})
