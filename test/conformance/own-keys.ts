/**
 * Held by every engine: what routing keeps in records of the store. Tenants' own provider keys, as calls are made with
 * them; deployments that were added, and weights, as they are put beside the configuration's.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'vitest'
import { withAdded } from '../../src/app/added.ts'
import { Settings } from '../../src/app/in-force.ts'
import { TenantKeys } from '../../src/app/own-keys.ts'
import { createSealer } from '../../src/app/sealing.ts'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { JsonRecord } from '../../src/core/json.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { ProviderKey, TenantRecord } from '../../src/core/ports/tenants.ts'
import { Catalogue } from '../../src/routing/catalogue.ts'
import { ask } from '../providers/rig.ts'
import { type Case, eventually, type Opened } from './harness.ts'

const record = (kind: TenantRecord['kind'], id: string, more: Partial<TenantRecord> = {}): TenantRecord => ({
  ...{ kind, id, label: '', models: null, limits: null, disabled: null, createdAtMs: 1, changedAtMs: 1 },
  ...more,
})

const PROVIDER = 'openai-compatible'
const HOUSE = 'sk-house-0123456789'
const OWN = 'sk-own-of-acme-0123456789'
const SEAL = 'a-sealing-secret-of-the-suites'
const NEW_SEAL = 'a-new-sealing-secret-of-them'
const ANSWER = JSON.stringify({
  ...{ id: 'c', object: 'chat.completion', created: 1, model: 'm' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
})

/** A provider with two deployments, one at an address of its own, and who calls it. */
class Upstream {
  /** The keys that it was shown, oldest first. */
  readonly seen: string[] = []
  readonly #server = createServer((request, response) => {
    request.resume()
    this.seen.push(String(request.headers.authorization).replace('Bearer ', ''))
    response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER)
  })
  readonly #open: Array<{ close(): void }> = []

  async listen(): Promise<void> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done))
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  config(secret = SEAL, before?: string) {
    const models = [
      { name: 'm', provider: PROVIDER, deployment: 'one', base_url: `${this.origin}/v1`, api_key: { env: 'HOUSE' } },
      { name: 'second', provider: 'demo', deployment: 'two' },
    ]
    const seals = { SLUICE_SECRET_KEY: secret, ...(before !== undefined && { SLUICE_SECRET_KEY_BEFORE: before }) }
    return loadConfig({ env: { HOUSE, ...seals }, flags: {}, found: models }).config
  }

  /** The keys as a process of this engine has them. */
  async keys(engine: Engine, secret = SEAL, before?: string) {
    const config = this.config(secret, before)
    const runtime = { clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock) }
    const settings = await Settings.open(config, runtime)
    const unreadable: string[] = []
    const catalogue = new Catalogue(settings.routes())
    const keys = new TenantKeys({
      ...{ settings, catalogue, tenants: engine.tenants, clock: systemClock },
      sealer: createSealer(config, runtime.ids),
      onUnreadable: (tenant, provider) => unreadable.push(`${tenant} ${provider}`),
    })
    this.#open.push(keys, settings)
    return {
      unreadable,
      reseal: () => keys.reseal(),
      sealed: (tenant: string, key = OWN) => keys.sealed(tenant, PROVIDER, key, null),
      /** The key that a job of this tenant was called with, or what it failed with instead. */
      call: async (tenant: string): Promise<string> => {
        const { provider } = keys.of(catalogue.deployment('one')!, tenant)
        const before = this.seen.length
        const { end } = await ask(provider, { model: 'm', messages: [] }, { stream: false })
        if (end.kind === 'failed') return this.seen.length === before ? end.error.code : `called, ${end.error.code}`
        return this.seen.at(-1)!
      },
    }
  }

  close(): void {
    for (const each of this.#open) each.close()
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

const upstreamed = async (run: (upstream: Upstream) => Promise<void>): Promise<void> => {
  const upstream = new Upstream()
  await upstream.listen()
  try {
    await run(upstream)
  } finally {
    upstream.close()
  }
}

const set = (engine: Engine, tenant: string, key: ProviderKey, provider = PROVIDER): Promise<TenantRecord> =>
  engine.tenants.change('tenant', tenant, (known) => ({
    ...(known ?? record('tenant', tenant)),
    providerKeys: { ...known?.providerKeys, [provider]: key },
  }))
const keyOf = ({ tenants }: Engine, tenant: string): ProviderKey | undefined =>
  tenants.get('tenant', tenant)?.providerKeys?.[PROVIDER]

const FAKE: ProviderKey = { sealed: 'v1.x', origin: 'https://a.example', last4: 'tail', setAtMs: 5 }
const ENTRY: JsonRecord = { name: 'n', provider: 'demo', deployment: 'gpu', tags: ['eu', 'h100'], order: 2 }
const gpu = (more: Partial<TenantRecord> = {}) =>
  record('deployment', 'gpu', { deployment: { added: ENTRY, weight: 0 }, ...more })

/** Set, and changed in another respect: nothing of it is lost. */
async function setAll({ tenants }: Engine): Promise<readonly TenantRecord[]> {
  await tenants.change('tenant', 'acme', () => record('tenant', 'acme', { providerKeys: { a: FAKE, 'b.c': FAKE } }))
  await tenants.change('tenant', 'acme', (known) => ({ ...known!, label: 'A' }))
  await tenants.change('deployment', 'gpu', () => gpu())
  await tenants.change('deployment', 'gpu', (known) => ({ ...known!, changedAtMs: 2 }))
  await tenants.change('deployment', 'm#2', () => record('deployment', 'm#2', { deployment: { weight: 7 } }))
  return [
    gpu({ changedAtMs: 2 }),
    record('deployment', 'm#2', { deployment: { weight: 7 } }),
    record('tenant', 'acme', { providerKeys: { a: FAKE, 'b.c': FAKE }, label: 'A' }),
  ]
}

const survives = (how: 'kill' | 'power') => async (open: () => Promise<Opened>) => {
  const first = await open()
  const all = await setAll(first.engine)
  expect(await first.engine.tenants.list()).toEqual(all)
  const { engine } = await first.reopen(how)
  expect(await engine.tenants.list()).toEqual(all)
  expect(engine.tenants.get('deployment', 'gpu')).toEqual(all[0])
}

export const ownKeyCases: readonly Case[] = [
  {
    name: "tenants' own keys, added deployments and weights are after a kill as they were set",
    needs: 'kill',
    run: survives('kill'),
  },
  { name: 'and after a power loss', needs: 'power', run: survives('power') },
  {
    name: 'what one process sets of keys and deployments all have, and none is lost among others of the moment',
    needs: 'fleet',
    async run(open) {
      const a = await open()
      const b = await a.beside!()
      let told = 0
      b.engine.tenants.onChange(() => told++)
      const all = await setAll(a.engine)
      await eventually(() => expect(b.engine.tenants.get('deployment', 'm#2')).toEqual(all[1]))
      expect(told).toBeGreaterThan(0)
      expect(await b.engine.tenants.list()).toEqual(all)
      await Promise.all([a, b, a, b].map(({ engine }, i) => set(engine, 'acme', FAKE, `p${i}`)))
      for (const { engine } of [a, b]) {
        await engine.tenants.list()
        const keys = Object.keys(engine.tenants.get('tenant', 'acme')!.providerKeys!)
        expect(keys.toSorted()).toEqual(['a', 'b.c', 'p0', 'p1', 'p2', 'p3'])
      }
    },
  },
  {
    name: "a tenant's key is used for its jobs alone, and after a kill",
    needs: 'kill',
    run: (open) =>
      upstreamed(async (upstream) => {
        const first = await open()
        const before = await upstream.keys(first.engine)
        await set(first.engine, 'acme', before.sealed('acme'))
        expect([await before.call('acme'), await before.call('bob')]).toEqual([OWN, HOUSE])
        const { engine } = await first.reopen('kill')
        const after = await upstream.keys(engine)
        expect([await after.call('acme'), await after.call('bob')]).toEqual([OWN, HOUSE])
        expect(after.unreadable).toEqual([])
      }),
  },
  {
    name: 'a key that is set, changed and removed at one process is so at the other',
    needs: 'fleet',
    run: (open) =>
      upstreamed(async (upstream) => {
        const a = await open()
        const b = await a.beside!()
        const [one, other] = [await upstream.keys(a.engine), await upstream.keys(b.engine)]
        await set(a.engine, 'acme', one.sealed('acme'))
        await eventually(async () => expect(await other.call('acme')).toBe(OWN))
        await set(b.engine, 'acme', other.sealed('acme', 'sk-another-of-acme'))
        await eventually(async () => expect(await one.call('acme')).toBe('sk-another-of-acme'))
        await a.engine.tenants.change('tenant', 'acme', ({ providerKeys: _, ...rest }: any) => rest)
        await eventually(async () => expect(await other.call('acme')).toBe(HOUSE))
      }),
  },
  {
    name: "a damaged seal, another tenant's, or another sealing key: the job fails, and nobody is called",
    run: (open) =>
      upstreamed(async (upstream) => {
        const { engine } = await open()
        const { sealed, call, unreadable } = await upstream.keys(engine)
        const good = sealed('acme')
        const flipped = `${good.sealed.slice(0, 40)}${good.sealed[40] === 'A' ? 'B' : 'A'}${good.sealed.slice(41)}`
        for (const text of [flipped, good.sealed.slice(0, -2), '', 'v1.', `v2.${good.sealed.slice(3)}`]) {
          await set(engine, 'acme', { ...good, sealed: text })
          expect([text, await call('acme')]).toEqual([text, 'own_key_failed'])
        }
        await set(engine, 'bob', good)
        expect(await call('bob')).toBe('own_key_failed')
        expect(unreadable).toContain(`bob ${PROVIDER}`)
        // What stands beside the seal is part of it: at another address it does not open, nor is the house's key sent
        await set(engine, 'acme', good)
        expect(await call('acme')).toBe(OWN)
        const elsewhere = await upstream.keys(engine, 'another-sealing-secret-of-them')
        expect(await elsewhere.call('acme')).toBe('own_key_failed')
        expect(upstream.seen).toEqual([OWN])
      }),
  },
  {
    name: 'under a new sealing key: what the one before sealed is used, and sealed anew; a kill loses none of it',
    needs: 'kill',
    run: (open) =>
      upstreamed(async (upstream) => {
        const first = await open()
        const old = await upstream.keys(first.engine)
        for (const tenant of ['acme', 'bob']) await set(first.engine, tenant, old.sealed(tenant))
        await set(first.engine, 'acme', FAKE, 'lost')
        const both = await upstream.keys(first.engine, NEW_SEAL, SEAL)
        expect(await both.call('acme')).toBe(OWN)
        const unreadable = [{ tenant: 'acme', provider: 'lost' }]
        expect(await both.reseal()).toEqual({ resealed: 2, unchanged: 0, unreadable })
        expect([await both.call('acme'), await both.call('bob')]).toEqual([OWN, OWN])
        expect(await both.reseal()).toEqual({ resealed: 0, unchanged: 2, unreadable })
        const { engine } = await first.reopen('kill')
        const today = await upstream.keys(engine, NEW_SEAL)
        expect([await today.call('acme'), await today.call('bob')]).toEqual([OWN, OWN])
        expect(await (await upstream.keys(engine)).call('bob')).toBe('own_key_failed')
        // Beside its seal nothing has changed
        const { sealed: _, ...rest } = keyOf(engine, 'bob')!
        expect(rest).toEqual({ origin: upstream.origin, last4: '6789', setAtMs: expect.any(Number) })
      }),
  },
  {
    name: 'a record that is damaged is not in force, and harms no other; set again, it is',
    needs: 'kill',
    async run(open) {
      const first = await open()
      const all = await setAll(first.engine)
      const damaged = { ...FAKE, origin: 7 } as never
      await first.engine.tenants.change('tenant', 'bob', () =>
        record('tenant', 'bob', { providerKeys: { a: damaged } }),
      )
      const weight = { weight: 'heavy' } as never
      await first.engine.tenants.change('deployment', 'x', () => record('deployment', 'x', { deployment: weight }))
      const { engine, facts } = await first.reopen('kill')
      expect(await engine.tenants.list()).toEqual(all)
      expect(facts).toContainEqual(expect.objectContaining({ type: 'store-warned', code: 'row_damaged' }))
      await set(engine, 'bob', FAKE)
      expect(keyOf(engine, 'bob')).toEqual(FAKE)
    },
  },
  {
    name: "an erased tenant's keys are gone, at all processes and after a kill; made again, it has none",
    needs: 'kill',
    run: (open) =>
      upstreamed(async (upstream) => {
        const first = await open()
        const beside = await first.beside?.()
        const { sealed, call } = await upstream.keys(first.engine)
        for (const tenant of ['acme', 'bob']) await set(first.engine, tenant, sealed(tenant))
        expect(await call('acme')).toBe(OWN)
        await first.engine.eraseTenant('acme')
        expect(await call('acme')).toBe(HOUSE)
        if (beside !== undefined) await eventually(() => expect(keyOf(beside.engine, 'acme')).toBeUndefined())
        const { engine } = await first.reopen('kill')
        expect(keyOf(engine, 'acme')).toBeUndefined()
        expect(keyOf(engine, 'bob')).toBeDefined()
        await engine.tenants.change('tenant', 'acme', (known) => known ?? record('tenant', 'acme'))
        expect(await (await upstream.keys(engine)).call('acme')).toBe(HOUSE)
      }),
  },
  {
    name: 'added deployments and weights stand beside those of the file after a kill; what can not is left, and told',
    needs: 'kill',
    run: (open) =>
      upstreamed(async (upstream) => {
        const first = await open()
        const { tenants } = first.engine
        const add = (id: string, added: JsonRecord) =>
          tenants.change('deployment', id, () => record('deployment', id, { deployment: { added } }))
        await tenants.change('deployment', 'gpu', () => gpu())
        await tenants.change('deployment', 'one', () => record('deployment', 'one', { deployment: { weight: 3 } }))
        await add('two', { name: 'n', provider: 'demo', deployment: 'two' })
        await add('old', { name: 'n', provider: 'demo', deployment: 'old', no_longer_known: true })
        await add('thief', {
          name: 'n',
          provider: PROVIDER,
          base_url: 'http://evil.example/v1',
          api_key: { env: 'HOUSE' },
        })
        const { engine } = await first.reopen('kill')
        const { config, added, left, weights } = withAdded(upstream.config(), engine.tenants.all())
        expect([...added]).toEqual(['gpu'])
        // The first is the demo that a start without models offers
        expect(config.models.map(({ deployment }) => deployment)).toEqual([null, 'one', 'two', 'gpu'])
        expect(config.models.at(-1)).toMatchObject({ name: 'n', tags: ENTRY['tags'], order: 2 })
        expect([...weights].sort()).toEqual([
          ['gpu', 0],
          ['one', 3],
        ])
        expect([...left.keys()].sort()).toEqual(['old', 'thief', 'two'])
        expect(left.get('two')).toContain('already')
      }),
  },
]
