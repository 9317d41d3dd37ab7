import { expect, it } from 'vitest'
import { Ledger } from './ledger.ts'

const of = (...cursors: string[]): Ledger => {
  const ledger = new Ledger()
  for (const cursor of cursors) ledger.see(cursor)
  return ledger
}

it('counts what was passed over as lost, and what came again as twice', () => {
  expect(of('1-1', '1-2', '1-3')).toMatchObject({ lost: 0, twice: 0, cursor: '1-3' })
  expect(of('1-1', '1-4')).toMatchObject({ lost: 2, twice: 0 })
  expect(of('1-1', '1-2', '1-2', '1-3')).toMatchObject({ lost: 0, twice: 1 })
})

it('misses what was before the first one', () => {
  expect(of('1-3')).toMatchObject({ lost: 2 })
})

it('goes on in another epoch, and begins anew where the server withdrew all', () => {
  expect(of('1-1', '2-7', '2-8')).toMatchObject({ lost: 0, twice: 0 })
  const ledger = of('1-1', '1-2')
  ledger.restart()
  expect(ledger.see('1-1')).toBe(true)
  expect(ledger).toMatchObject({ lost: 0, twice: 0 })
})
