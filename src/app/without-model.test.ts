import { expect, it } from 'vitest'
import { SluiceError } from '../core/errors.ts'
import { warnOfJobsWithoutModel } from './without-model.ts'

it('a store that can not list jobs stops neither a start nor a reload: it is logged', async () => {
  const error = new SluiceError('storage_failed')
  const warned: object[] = []
  await warnOfJobsWithoutModel(
    { list: () => Promise.reject(error) },
    { resolve: () => null },
    { warn: (fact) => void warned.push(fact) },
  )
  expect(warned).toEqual([{ err: error }])
})
