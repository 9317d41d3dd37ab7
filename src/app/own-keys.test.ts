import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { loadConfig } from '../config/load.ts'
import { systemClock as clock, Wheel } from '../core/clock.ts'
import { systemIds } from '../core/ids.ts'
import { Catalogue } from '../routing/catalogue.ts'
import { isInstalled, PACKAGES } from '../routing/providers/ai-sdk/settings.ts'
import { Settings } from './in-force.ts'
import { TenantKeys } from './own-keys.ts'
import type { Sealer } from './sealing.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-own-keys-'))
afterAll(() => rmSync(dir, { recursive: true }))

it.skipIf(!isInstalled(PACKAGES.vertex))(
  "a key for Vertex goes to no model of a project: it would leave the project's region",
  async () => {
    const file = join(dir, 'sluice.yaml')
    const inProject = { provider: 'vertex', model: 'g', project: 'p', region: 'eu' }
    const withKey = { provider: 'vertex', model: 'g', api_key: { env: 'KEY' } }
    const models = [
      { ...inProject, name: 'eu', deployment: 'eu' },
      { ...withKey, name: 'anywhere', deployment: 'anywhere' },
    ]
    const tenants = [{ name: 'must', own_keys: 'require' }]
    const load = (models: readonly object[]) => {
      writeFileSync(file, JSON.stringify({ models, tenants }))
      return loadConfig({ file, env: { KEY: 'of-the-house' } })
    }
    expect(() => load([{ ...inProject, ...withKey, name: 'both' }])).toThrow(
      /models\[0\]\.api_key: .* without a project/,
    )
    const { config } = load(models)
    const settings = await Settings.open(config, { clock, ids: systemIds(), wheel: new Wheel(clock) })
    const catalogue = new Catalogue(settings.routes())
    const origins = ['https://aiplatform.eu.rep.googleapis.com', 'https://aiplatform.googleapis.com']
    let origin = ''
    const keys = new TenantKeys({
      settings,
      catalogue,
      tenants: { get: () => ({ providerKeys: { vertex: { origin, sealed: 'x', last4: '', setAtMs: 0 } } }) } as never,
      sealer: {} as Sealer,
      clock,
      onUnreadable: () => {},
    })
    expect([...keys.providers()]).toEqual([['vertex', [origins[1]]]])
    const [[eu], [anywhere]] = ['eu', 'anywhere'].map((name) => catalogue.resolve(name)!.deployments)
    expect([eu.ownKeyAt, anywhere.ownKeyAt]).toEqual([null, `vertex ${origins[1]}`])
    for (origin of origins) {
      expect(keys.of(eu, 'acme')).toBe(eu)
      expect(keys.refusal('must', 'eu')?.code).toBe('own_key_required')
      expect(keys.of(eu, 'must')).toMatchObject({ isOwnKey: true })
    }
    expect(keys.of(anywhere, 'acme')).toMatchObject({ isOwnKey: true })
    keys.close()
    settings.close()
  },
)
