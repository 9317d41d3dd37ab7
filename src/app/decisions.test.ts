import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { systemClock, Wheel } from '../core/clock.ts'
import { systemIds } from '../core/ids.ts'
import { type DecisionSettings, decisionSettings, openDecisions } from './decisions.ts'
import { type ServedBy, Settings } from './in-force.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-decisions-'))
afterAll(() => rmSync(dir, { recursive: true }))

const runtime = () => ({ clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock) })

/** As a thread gets them. */
async function settingsOf(flags: Record<string, string>, yaml = ''): Promise<DecisionSettings> {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, `log: { level: info }\n${yaml}`)
  const { config } = loadConfig({ env: {}, file, flags })
  const settings = await Settings.open(config, runtime())
  settings.close()
  return structuredClone(decisionSettings(settings)())
}

const job = (id: string, tenant: string) => ({
  id,
  kind: 'chat' as const,
  tenant,
  lane: null,
  session: null,
  pool: 'default',
  model: 'demo',
  priority: 'normal' as const,
  promptTokens: 1,
  bodyBytes: 10,
  acceptedMono: 0,
  notBeforeMono: 0,
  deadlineMono: Infinity,
  joinKey: null,
  keyId: 'key_1',
  user: null,
  run: null,
  route: '',
  maxOutputTokens: null,
  price: null,
  policy: 'wait' as const,
})

it('what the coordinator decides by can be sent to its thread, and a reload replaces it', async () => {
  const decisions = openDecisions(await settingsOf({ 'retention-logs': '1h' }))
  expect(decisions.keepMs('acme')).toBe(3_600_000)
  decisions.change(await settingsOf({ 'retention-logs': '2h' }))
  expect(decisions.keepMs('acme')).toBe(7_200_000)
  const coordinator = decisions.createCoordinator()
  expect(coordinator.status(0).map(({ deployment }) => deployment)).toEqual(['demo@demo'])
})

it('what another process sends arrives whole, as JSON: retention of tenants, caps, models without limit', async () => {
  const decisions = openDecisions(await settingsOf({}))
  const coordinator = decisions.createCoordinator()
  expect(coordinator.submit(job('a', 'acme'), 0).kind).toBe('accepted')
  const yaml = 'tenants: [{ name: acme, weight: 3, retention: { logs: 5m } }]'
  decisions.change(JSON.parse(JSON.stringify(await settingsOf({ 'queue-max-queued-per-tenant': '1' }, yaml))))
  expect([decisions.keepMs('acme'), decisions.keepMs('other')]).toEqual([300_000, 86_400_000])
  // In force for the very next submit
  expect(coordinator.submit(job('b', 'acme'), 0)).toMatchObject({ kind: 'refused', error: { code: 'queue_full' } })
  const worker = { id: 'w', pools: ['default'], slots: 1 }
  const next = decisions.createCoordinator()
  next.submit(job('a', 'acme'), 0)
  next.attach(worker, 0)
  next.lease(0)
  expect(next.changes().some(({ type }) => type === 'leased')).toBe(true)
})

it('a group that is damaged, unknown or missing is left as it is; the others are taken', async () => {
  const decisions = openDecisions(await settingsOf({ 'retention-logs': '1h' }))
  const { retention: _, ...others } = await settingsOf({ 'retention-logs': '2h' })
  const before = decisions.settings()
  for (const wrong of [null, 'x', [], { ...others, retention: { keepMs: 'long' } }]) decisions.change(wrong)
  expect(decisions.settings()).toEqual(before)
  decisions.change({ ...others, retention: { keepMs: 'long' }, workers: { leaseMs: 1_234 } })
  expect(decisions.settings()).toMatchObject({ workers: { leaseMs: 1_234 }, retention: { keepMs: 3_600_000 } })
  decisions.change({ ...others, later: {} })
  expect(decisions.keepMs('acme')).toBe(3_600_000)
  decisions.change({ ...others, retention: { keepMs: 7_200_000, later: 1 } })
  expect(decisions.keepMs('acme')).toBe(7_200_000)
  expect(decisions.settings()).not.toHaveProperty('later')
})

const LIMITS = `
limits:
  global: { tokens_per_minute: 1_000_000 }
  models: [{ name: demo, requests_per_minute: 100 }]
  each_tenant: { concurrent: 4, each_user: { tokens_per_minute: 60_000, burst: 2 } }
tenants:
  - { name: acme, limits: { dollars_per_day: 0.1, each_run: { dollars_per_hour: 1 }, each_key: { concurrent: 2 } } }
  - { name: free }
  - { name: open, limits: {} }
`

it('limits arrive at the thread as they were given', async () => {
  const decisions = openDecisions(JSON.parse(JSON.stringify(await settingsOf({}, LIMITS))))
  const { limits } = decisions.settings() as DecisionSettings
  expect(limits.global!.rates).toEqual([
    { unit: 'tokens', burst: 1_000_000, perSecond: 1_000_000 / 60, whenOut: 'debt', oversize: 'refuse' },
  ])
  expect(Object.keys(limits.models)).toEqual(['demo'])
  expect(Object.keys(limits.tenants)).toEqual(['acme', 'open'])
  expect(limits.eachTenant!.eachUser!.rates[0].burst).toBe(120_000)
  expect(limits.tenants['acme'].all!.budgets).toEqual([{ window: 'day', nanoDollars: 100_000_000, whenOut: 'cut' }])
})

it('the coordinator decides by the limits of another process at once', async () => {
  const decisions = openDecisions(await settingsOf({}))
  const coordinator = decisions.createCoordinator()
  const ask = (id: string, user: string) => {
    const { kind } = coordinator.submit({ ...job(id, 'acme'), user, policy: 'reject' }, 0)
    return kind
  }
  expect([ask('a', 'ann'), ask('b', 'ann')]).toEqual(['accepted', 'accepted'])
  const yaml = 'limits: { each_tenant: { each_user: { requests_per_minute: 1 } } }'
  decisions.change(JSON.parse(JSON.stringify(await settingsOf({}, yaml))))
  expect([ask('c', 'ann'), ask('d', 'ann'), ask('e', 'bob')]).toEqual(['accepted', 'refused', 'accepted'])
})

it('limits that are damaged are left out', async () => {
  const { limits } = await settingsOf({}, LIMITS)
  const [rate] = limits.global!.rates
  const [budget] = limits.tenants['acme'].all!.budgets
  const wrong = [
    { ...limits, global: undefined },
    { ...limits, global: { ...limits.global, concurrent: undefined } },
    { ...limits, models: [] },
    { ...limits, tenants: { acme: 1 } },
    { ...limits, keys: { key_1: { rates: [], budgets: [], concurrent: -1 } } },
    ...[
      { ...rate, burst: 0 },
      { ...rate, perSecond: 0 },
      { ...rate, perSecond: -1 },
      // As "1e999" is read
      { ...rate, burst: Infinity },
      { ...rate, burst: null },
      { ...rate, unit: 'nano_dollars' },
      { ...rate, whenOut: 'stop' },
      { ...rate, oversize: undefined },
    ].map((one) => ({ ...limits, global: { ...limits.global, rates: [one] } })),
    ...[
      { ...budget, nanoDollars: 0.5 },
      { ...budget, nanoDollars: -1 },
      { ...budget, window: 'year' },
    ].map((one) => ({
      ...limits,
      global: { ...limits.global, budgets: [one] },
    })),
  ]
  const decisions = openDecisions(await settingsOf({}))
  const before = decisions.settings()
  for (const one of wrong) {
    decisions.change({ limits: one })
    expect(decisions.settings(), JSON.stringify(one)).toBe(before)
  }
  decisions.change({ limits })
  expect((decisions.settings() as DecisionSettings).limits).toEqual(limits)
})

function load(yaml: string): Config {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, yaml)
  return loadConfig({ env: {}, file }).config
}
/** What a reload is put in force with, where nothing else is looked at. */
const PARTS = {
  catalogue: { replace: () => {} },
  engine: { configure: () => {} },
  worker: { isUsing: () => false },
  checks: { follow: () => {} },
} as unknown as ServedBy

it('limits are the same object until they change, whatever else is reloaded', async () => {
  const settings = await Settings.open(load(`port: 4100\n${LIMITS}`), runtime())
  const decided = decisionSettings(settings)
  const before = decided().limits
  await settings.reload(load(`queue: { max_queued_jobs: 5 }\n${LIMITS}`), PARTS)
  expect(decided().queue.maxQueuedJobs).toBe(5)
  expect(decided().limits).toBe(before)
  const { needsRestart } = await settings.reload(load(LIMITS.replace('concurrent: 4', 'concurrent: 5')), PARTS)
  expect(decided().limits.eachTenant!.all!.concurrent).toBe(5)
  expect(needsRestart).toEqual([])
  settings.close()
})

it('what needs a restart is told by what the process started with, not by the file before', async () => {
  const settings = await Settings.open(load('port: 4100\n'), runtime())
  const told = async (port: number) => {
    const { changed, needsRestart } = await settings.reload(load(`port: ${port}\n`), PARTS)
    return [changed.includes('port'), needsRestart.includes('port')]
  }
  expect(await told(4200)).toEqual([true, true])
  expect(await told(4200)).toEqual([false, true])
  expect(await told(4100)).toEqual([true, false])
  settings.close()
})
