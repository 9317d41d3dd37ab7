/** The `fetch` that a package gets reaches one origin, whatever the package asks for. */
import { expect, test } from 'vitest'
import { systemClock } from '../../../core/clock.ts'
import type { HttpClient } from '../http/client.ts'
import { Transport } from './transport.ts'

test.each([
  'https://evil.example/v1/messages',
  'http://api.example.com/v1/messages',
  'https://api.example.com:444/v1/messages',
  'https://user@api.example.com/v1/messages',
])('%s is not called', async (url) => {
  const asked: unknown[] = []
  const client = { request: (request: unknown) => asked.push(request) } as unknown as HttpClient
  const origin = 'https://api.example.com'
  const transport = new Transport({
    ...{ client, clock: systemClock, origin, secret: 'key', maxAnswerBytes: 1e6, stream: true, headers: '' },
  })
  await expect(transport.fetch(url, { method: 'POST', body: '{}' })).rejects.toThrow('refused')
  expect(asked).toEqual([])
  expect(transport.failure).toMatchObject({ retry: 'elsewhere', error: { code: 'provider_unreachable' } })
})
