/**
 * The protocol's suite against a server of our own, in a process of its own; or, by SLUICE_PROTOCOL_URL, against any
 * other.
 */
import { afterAll, describe } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { describeProtocol, type Target } from './conformance.ts'
import { describeHttp } from './http-cases.ts'

const said = (name: string): string | undefined => process.env[`SLUICE_PROTOCOL_${name}`]
const url = said('URL')

const CONFIG = `
models:
  - { name: demo, provider: demo }
  - { name: narrow, provider: demo, limits: { concurrent: 1 } }
sessions: { ticket_ms: 3s }
tenants:
  - { name: limited, limits: { tokens_per_minute: 1000, requests_per_minute: 100000 } }
`
let server: Server | undefined
afterAll(() => server?.stop())

/** One server for both suites. */
let target: Promise<Target> | undefined
const reach = (): Promise<Target> => (target ??= start())

async function start(): Promise<Target> {
  if (url !== undefined) {
    const [otherTenantKey, narrowModel, embeddingModel] = [said('OTHER_KEY'), said('NARROW'), said('EMBEDDING')]
    const limitedKey = said('LIMITED_KEY')
    return {
      url,
      key: said('KEY') ?? '',
      model: said('MODEL') ?? 'demo',
      ...(otherTenantKey === undefined ? {} : { otherTenantKey }),
      ...(limitedKey === undefined ? {} : { limitedKey }),
      ...(narrowModel === undefined ? {} : { narrowModel }),
      ...(embeddingModel === undefined ? {} : { embeddingModel }),
    }
  }
  server = await startServer(CONFIG)
  const keyOf = async (tenant: string): Promise<string> => {
    const made = await fetch(`${server!.adminUrl}/admin/keys`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server!.adminKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ tenant }),
    })
    return ((await made.json()) as { key: string }).key
  }
  return {
    url: server.url,
    key: server.key,
    otherTenantKey: await keyOf('stranger'),
    limitedKey: await keyOf('limited'),
    model: 'demo',
    narrowModel: 'narrow',
    embeddingModel: 'demo',
  }
}

describe('HTTP', () => describeHttp(reach))
describe('sluice.v1', () => describeProtocol(reach))
