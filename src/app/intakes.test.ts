import { expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import type { Intake } from '../core/ports/intake.ts'
import { openAll } from './intakes.ts'

it('where one broker can not be opened, the others are closed, also those that open later', async () => {
  const closed: string[] = []
  const one = (name: string): Intake => ({ name, close: async () => void closed.push(name) }) as unknown as Intake
  const late = Promise.withResolvers<Intake>()
  const opening = openAll([
    Promise.resolve(one('first')),
    Promise.reject(new SluiceError('config_invalid')),
    late.promise,
  ])
  late.resolve(one('late'))
  await expect(opening).rejects.toMatchObject({ code: 'config_invalid' })
  expect(closed).toEqual(['first', 'late'])
  expect(await openAll([Promise.resolve(one('alone'))])).toHaveLength(1)
})
