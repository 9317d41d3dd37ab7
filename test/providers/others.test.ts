/** What is particular to Bedrock and Vertex: how a call is signed. Their answers: dialects.test.ts. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isInstalled, PACKAGES } from '../../src/routing/providers/ai-sdk/settings.ts'
import { RawUpstream } from '../../src/routing/providers/testing/upstream.ts'
import { bedrock } from './dialects/bedrock.ts'
import { vertex } from './dialects/vertex.ts'
import { ask, providerOf, SECRET, whole } from './rig.ts'

const upstream = new RawUpstream()
beforeEach(() => upstream.listen())
afterEach(() => upstream.stop())

const KEY = { env: 'KEY' }
const HELLO = { model: 'some-model', messages: [{ role: 'user', content: 'Hi' }] }

async function headOf(model: object, { body, type = 'text/event-stream', isBytes }: (typeof bedrock)[number]) {
  upstream.says(whole('200 OK', type, body, '', isBytes))
  const provider = await providerOf(model as never)
  const { end } = await ask(provider, HELLO)
  provider.close()
  expect(end).toEqual({ kind: 'done' })
  return upstream.asked.at(-1)!.split('\r\n\r\n')[0]
}

describe.skipIf(!isInstalled(PACKAGES.bedrock))('bedrock', () => {
  const AWS = { provider: 'bedrock', region: 'us-east-1' }
  const pair = { access_key_id: KEY, secret_access_key: KEY }
  const at = (model: object) => headOf({ ...AWS, base_url: upstream.url, ...model }, bedrock[0])

  test('with a key', async () => {
    expect(await at({ api_key: KEY })).toContain(`\r\nauthorization: Bearer ${SECRET}`)
  })

  test('signed: the secret does not go', async () => {
    const head = await at(pair)
    const scope = `Credential=${SECRET}/\\d{8}/us-east-1/bedrock/aws4_request`
    expect(head).toMatch(new RegExp(`\\r\\nauthorization: AWS4-HMAC-SHA256 ${scope}, .*Signature=[0-9a-f]{64}`))
    expect(head.split(SECRET)).toHaveLength(2)
    expect(head).not.toContain('x-amz-security-token')
  })

  test('signed, of a session', async () => {
    expect(await at({ ...pair, session_token: KEY })).toContain(`\r\nx-amz-security-token: ${SECRET}`)
  })
})

describe.skipIf(!isInstalled(PACKAGES.vertex))('vertex', () => {
  test('with a key', async () => {
    const model = { provider: 'vertex', base_url: `${upstream.url}/v1/publishers/google`, api_key: KEY }
    expect(await headOf(model, vertex[0])).toContain(`\r\nx-goog-api-key: ${SECRET}`)
  })
})
