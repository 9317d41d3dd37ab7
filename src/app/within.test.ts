/** Steps of a start. */
import { expect, it } from 'vitest'
import { orAborted } from './within.ts'

const endless = new Promise<void>(() => {})

it('a step is given up when the start is aborted, also where that was before the step', async () => {
  const abort = new AbortController()
  const waiting = expect(orAborted(endless, abort.signal)).rejects.toThrow('enough')
  abort.abort(new Error('enough'))
  await waiting
  await expect(orAborted(endless, abort.signal)).rejects.toThrow('enough')
})
