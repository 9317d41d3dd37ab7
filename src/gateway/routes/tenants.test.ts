import { expect, it } from 'vitest'
import { SluiceError } from '../../core/errors.ts'
import { toText } from '../../core/record.ts'
import type { GatewayDeps } from '../deps.ts'
import type { Answer } from '../http/answer.ts'
import { tenantRoutes } from './tenants.ts'

it('the list is there while the coordinator is away, without what each has used', async () => {
  const deps = {
    keys: { list: async () => [{ tenant: 'acme' }] },
    tenants: { list: async () => [] },
    limitRules: { configured: () => new Map(), eachTenant: () => null, weight: () => 1 },
    operations: { fullest: () => Promise.reject(new SluiceError('storage_failed')) },
    observed: { refused: () => new Map([['acme', 3]]) },
  }
  const routes = tenantRoutes(deps as unknown as GatewayDeps, {} as never)
  const { run } = routes.find(({ method, path }) => method === 'GET' && path === '/admin/tenants')!
  const answer = await (run as (call: unknown) => Promise<Answer>)({ parameter: () => 'true' })
  expect(JSON.parse(toText(answer.body!))['data']).toMatchObject([{ id: 'acme', use: null, refused: 3 }])
})
