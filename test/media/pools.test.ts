/** Texts run at one worker, images at another, by their pools: a fleet on Redis. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { paint } from '../../src/routing/providers/demo/media.ts'
import { type Fleet, KEY, startFleet } from '../e2e/fleet.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-pools-'))
let fleet: Fleet

describe.skipIf(process.env['SLUICE_TEST_REDIS'] === undefined)('pools', () => {
  const file = join(dir, 'sluice.yaml')
  const args = ['--config', file]
  beforeAll(async () => {
    writeFileSync(
      file,
      'models:\n  - { name: talks, provider: demo, kinds: [chat], pool: text }\n' +
        '  - { name: paints, provider: demo, kinds: [image], pool: images }\n',
    )
    fleet = await startFleet()
    await fleet.add('gateway', { args })
    await fleet.add('worker', { args, env: { SLUICE_WORKERS_POOLS: 'text' } })
  }, 60_000)
  afterAll(async () => {
    await fleet?.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  const call = (path: string, body?: object) =>
    fetch(`${fleet.gateways[0]}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  const chat = { model: 'talks', messages: [{ role: 'user', content: 'demo: tokens=2 delay=1 ttft=1' }] }

  it('an image waits for a worker of its pool, while texts are answered; the gateway has its bytes', async () => {
    const request = { model: 'paints', prompt: 'a lake' }
    const { id } = (await (await call('/v1/jobs', { endpoint: '/v1/images/generations', request })).json()) as {
      id: string
    }
    for (let i = 0; i < 3; i++) expect((await call('/v1/chat/completions', chat)).status).toBe(200)
    const stateOf = async () => ((await (await call(`/v1/jobs/${id}`)).json()) as { state: string }).state
    expect(['queued', 'waiting']).toContain(await stateOf())
    await fleet.add('worker', { args, env: { SLUICE_WORKERS_POOLS: 'images' } })
    const result = await call(`/v1/jobs/${id}/result?wait_ms=20000`)
    const { data } = (await result.json()) as { data: Array<{ b64_json: string }> }
    expect(Buffer.from(data[0].b64_json, 'base64').equals(paint('a lake', 0))).toBe(true)
  }, 60_000)
})
