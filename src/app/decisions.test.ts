import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { loadConfig } from '../config/load.ts'
import { systemClock, Wheel } from '../core/clock.ts'
import { systemIds } from '../core/ids.ts'
import { type DecisionSettings, decisionSettings, openDecisions } from './decisions.ts'
import { Settings } from './in-force.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-decisions-'))
afterAll(() => rmSync(dir, { recursive: true }))

/** As a thread gets them. */
async function settingsOf(flags: Record<string, string>, yaml = ''): Promise<DecisionSettings> {
  const file = join(dir, 'sluice.yaml')
  writeFileSync(file, `log: { level: info }\n${yaml}`)
  const { config } = loadConfig({ env: {}, file, flags })
  const settings = await Settings.open(config, { clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock) })
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

it('a group that is damaged changes nothing at all; one that is unknown, or missing, is left as it is', async () => {
  const decisions = openDecisions(await settingsOf({ 'retention-logs': '1h' }))
  const { retention: _, ...others } = await settingsOf({ 'retention-logs': '2h' })
  const before = decisions.settings()
  for (const wrong of [null, 'x', [], { ...others, retention: { keepMs: 'long' } }]) decisions.change(wrong)
  expect(decisions.settings()).toEqual(before)
  decisions.change({ ...others, later: {} })
  expect(decisions.keepMs('acme')).toBe(3_600_000)
  decisions.change({ ...others, retention: { keepMs: 7_200_000, later: 1 } })
  expect(decisions.keepMs('acme')).toBe(7_200_000)
  expect(decisions.settings()).not.toHaveProperty('later')
})
