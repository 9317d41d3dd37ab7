/** What a killed gateway left of sounds, on Redis: nobody reads it after its job was made again, or deleted. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { sing } from '../../src/routing/providers/demo/media.ts'
import { call, type Fleet, startFleet } from '../e2e/fleet.ts'

const input = Array.from({ length: 60 }, (_, i) => `word${i}`).join(' ')
const whole = Buffer.concat(sing(input))
const dir = mkdtempSync(join(tmpdir(), 'sluice-left-'))
const args = ['--config', join(dir, 'sluice.yaml')]
let fleet: Fleet

interface StoredFile {
  readonly bytes: number
  readonly filename: string
}

describe.skipIf(process.env['SLUICE_TEST_REDIS'] === undefined)('a gateway that is killed', () => {
  beforeAll(async () => {
    writeFileSync(args[1], 'models:\n  - { name: "demo*", provider: demo, kinds: [speech] }\n')
    fleet = await startFleet()
  }, 60_000)
  afterAll(async () => {
    await fleet?.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  it('leaves no bytes: the next attempt removes them, or whoever deletes the job', async () => {
    const killed = await fleet.add('all', { args })
    const before = killed.url!
    const request = { model: 'demo-d60-f1', voice: 'alloy', input }
    const submit = async () =>
      (
        (await (await call(before, '/v1/jobs', { body: { endpoint: '/v1/audio/speech', request } })).json()) as {
          id: string
        }
      ).id
    const [again, deleted] = [await submit(), await submit()]
    const files = async (base: string): Promise<readonly StoredFile[]> =>
      ((await (await call(base, '/v1/files?purpose=media')).json()) as { data: StoredFile[] }).data
    await vi.waitFor(async () => expect((await files(before)).filter(({ bytes }) => bytes > 0)).toHaveLength(2), {
      timeout: 20_000,
    })
    killed.child.kill('SIGKILL')
    await killed.ended
    // It runs nothing: what is left is there until somebody does
    const gateway = (await fleet.add('gateway', { args })).url!
    expect(await files(gateway)).toHaveLength(2)
    await vi.waitFor(
      async () => expect((await call(gateway, `/v1/jobs/${deleted}`, { method: 'DELETE' })).status).toBe(204),
      { timeout: 30_000 },
    )
    expect((await files(gateway)).map(({ filename }) => filename)).toEqual([`${again}.wav`])
    await fleet.add('worker', { args })
    const made = (await (await call(gateway, `/v1/jobs/${again}?wait_ms=25000`)).json()) as object
    expect(made).toMatchObject({ state: 'done', attempts: 2 })
    expect((await files(gateway)).map(({ bytes }) => bytes)).toEqual([whole.length])
    expect((await call(gateway, `/v1/jobs/${again}`, { method: 'DELETE' })).status).toBe(204)
    expect(await files(gateway)).toEqual([])
  }, 120_000)
})
