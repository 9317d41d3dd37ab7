/** An answer whose transfer breaks is fetched again; what is refused is not. */
import { expect, it } from 'vitest'
import { SluiceError } from '../src/errors.ts'
import { documentOf, fetchMade } from '../src/made.ts'

const said = (text: string, type: string): Response => new Response(text, { headers: { 'content-type': type } })

it('asks again after a cut, and not after a refusal', { timeout: 20_000 }, async () => {
  let asked = 0
  const again = new SluiceError('overloaded', 'Later.', { retryable: true, retryAfterMs: 5 })
  const open = async (): Promise<Response> => {
    if (++asked === 1) throw again
    if (asked === 2) return new Response(new ReadableStream({ start: (pipe) => pipe.error(new TypeError('cut')) }))
    return said('{"a":1}', 'application/json; charset=utf-8')
  }
  expect(await fetchMade({ open }, '/x', (response) => response.json())).toEqual({ a: 1 })
  expect(asked).toBe(3)
  const refused = async (): Promise<Response> => {
    asked++
    throw new SluiceError('job_not_found', 'None.', { status: 404 })
  }
  await expect(fetchMade({ open: refused }, '/x', documentOf)).rejects.toMatchObject({ code: 'job_not_found' })
  expect(asked).toBe(4)
})
it('gives up after six tries', async () => {
  let asked = 0
  const open = async (): Promise<Response> => {
    asked++
    throw new SluiceError('overloaded', 'Later.', { retryable: true, retryAfterMs: 1 })
  }
  await expect(fetchMade({ open }, '/x', documentOf)).rejects.toMatchObject({ code: 'overloaded' })
  expect(asked).toBe(6)
})
