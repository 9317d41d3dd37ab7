import { mkdtempSync, rmSync } from 'node:fs'
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
async function settingsOf(flags: Record<string, string>): Promise<DecisionSettings> {
  const { config } = loadConfig({ env: {}, flags })
  const settings = await Settings.open(config, { clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock) })
  settings.close()
  return structuredClone(decisionSettings(settings)())
}

it('what the coordinator decides by can be sent to its thread, and a reload replaces it', async () => {
  const decisions = openDecisions(await settingsOf({ 'retention-logs': '1h' }))
  expect(decisions.keepMs('acme')).toBe(3_600_000)
  decisions.change(await settingsOf({ 'retention-logs': '2h' }))
  expect(decisions.keepMs('acme')).toBe(7_200_000)
  const coordinator = decisions.createCoordinator()
  expect(coordinator.status(0).map(({ deployment }) => deployment)).toEqual(['demo@demo'])
})
