import { registerHooks } from 'node:module'
import { expect, it } from 'vitest'
import { loadConfig } from '../config/load.ts'
import { systemClock, Wheel } from '../core/clock.ts'
import { systemIds } from '../core/ids.ts'
import type { TenantRecord } from '../core/ports/tenants.ts'
import { Settings } from './in-force.ts'

/** As where it is not installed. */
registerHooks({
  resolve(name, context, next) {
    if (name === '@ai-sdk/google-vertex') throw Object.assign(new Error('none'), { code: 'ERR_MODULE_NOT_FOUND' })
    return next(name, context)
  },
})

const record = (id: string, added: object): TenantRecord => ({
  ...{ kind: 'deployment', id, label: '', models: null, limits: null, disabled: null, createdAtMs: 0, changedAtMs: 0 },
  deployment: { added: { name: id, deployment: id, ...added } },
})

it('a deployment of the store that can not be made here is left out alone, and named', async () => {
  const settings = await Settings.open(loadConfig({ env: {}, flags: {} }).config, {
    ...{ clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock) },
  })
  const parts = {
    catalogue: { replace() {} },
    engine: { configure() {} },
    worker: { isUsing: () => false },
    checks: { follow() {} },
    carry: async () => {},
  } as never
  const records = [
    record('good', { provider: 'demo' }),
    record('poison', { provider: 'vertex', model: 'g', project: 'p', region: 'r' }),
    record('also-good', { provider: 'demo' }),
  ]
  const left = await settings.follow(records, parts)
  expect([...left]).toEqual([['poison', expect.stringContaining('@ai-sdk/google-vertex')]])
  expect([...settings.added]).toEqual(['good', 'also-good'])
  expect(settings.config.models.map(({ name }) => name)).toEqual(['demo', 'good', 'also-good'])
  await settings.follow(records.slice(0, 1), parts)
  expect([...settings.added]).toEqual(['good'])
  settings.close()
})
