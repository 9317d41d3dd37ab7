/** Answers that requests share over a fleet: two gateways, two workers, one generation (0051). */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type MockServer, startMock } from '../../src/mock/server.ts'
import { NO_REDIS } from '../redis/server.ts'
import { call, type Fleet, KEY, startFleet } from './fleet.ts'
import { killAll, removeFolders } from './serve.ts'

describe.skipIf(NO_REDIS)('Redis: answers that requests share', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-shared-'))
  let upstream: MockServer
  let fleet: Fleet
  let a: string
  let b: string
  beforeAll(async () => {
    upstream = await startMock({ port: 0 })
    const file = join(dir, 'sluice.yaml')
    const settings = {
      models: [{ name: '*', provider: 'openai-compatible', base_url: `${upstream.url}/v1`, kinds: ['chat'] }],
      tenants: [{ name: 'default', cache: { ttl: '1h', coalesce: true } }],
      http: { disconnect_grace_ms: 200 },
    }
    // JSON is YAML
    writeFileSync(file, JSON.stringify(settings))
    fleet = await startFleet()
    for (const role of ['gateway', 'gateway', 'worker', 'worker'] as const)
      await fleet.add(role, { args: ['--config', file] })
    ;[a, b] = fleet.gateways
  })
  afterAll(async () => {
    await fleet?.stop()
    await upstream?.close()
    killAll()
    removeFolders()
    rmSync(dir, { recursive: true })
  })

  const ask = (url: string, model: string, stream = false): Promise<Response> =>
    call(url, '/v1/chat/completions', { body: { model, stream, messages: [{ role: 'user', content: 'Hello' }] } })
  const textsOf = (body: string): string => body.match(/ tok\d+\.\d+/g)?.join('') ?? ''

  it('forty streams over two gateways are one call, and then answers that are kept', async () => {
    const before = upstream.stats.requests
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => ask(i % 2 === 0 ? a : b, 'mock-n40-d20-f2500', true)),
    )
    const bodies = await Promise.all(answers.map((answer) => answer.text()))
    expect(upstream.stats.requests - before).toBe(1)
    expect(new Set(bodies.map(textsOf)).size).toBe(1)
    expect(textsOf(bodies[0]).match(/tok/g)).toHaveLength(40)
    const told = answers.map(({ headers }) => headers.get('x-sluice-cache'))
    expect([told.filter((how) => how === 'miss').length, told.filter((how) => how === 'joined').length]).toEqual([
      1, 39,
    ])
    for (const url of [a, b]) {
      const again = await ask(url, 'mock-n40-d20-f2500', true)
      expect(again.headers.get('x-sluice-cache')).toBe('hit')
      expect(textsOf(await again.text())).toBe(textsOf(bodies[0]))
      const view = await call(url, `/v1/jobs/${again.headers.get('sluice-job')}`)
      expect(await view.json()).toMatchObject({ state: 'done', cache: 'hit' })
    }
    expect(upstream.stats.requests - before).toBe(1)
  })

  it('a document is repeated byte for byte at the other gateway', async () => {
    const first = await (await ask(a, 'mock-n5')).text()
    const again = await ask(b, 'mock-n5')
    expect([again.headers.get('x-sluice-cache'), await again.text()]).toEqual(['hit', first])
  })

  it('the one that is asked is canceled: another job makes the answer', async () => {
    const request = { model: 'mock-n3-f2000', messages: [{ role: 'user', content: 'Hello' }] }
    const submit = async (url: string): Promise<string> =>
      ((await (await call(url, '/v1/jobs', { body: { request } })).json()) as { id: string }).id
    const before = upstream.stats.requests
    const first = await submit(a)
    const others = [await submit(b), await submit(a), await submit(b)]
    await call(b, `/v1/jobs/${first}/cancel`, { body: {} })
    for (const id of others) {
      const view = await call(a, `/v1/jobs/${id}?wait_ms=20000`)
      expect(await view.json()).toMatchObject({ state: 'done', cache: 'joined' })
    }
    expect(upstream.stats.requests - before).toBeLessThanOrEqual(2)
  })

  it('the client of the one that is asked leaves: the others get the whole answer', async () => {
    const before = upstream.stats.requests
    const leaving = new AbortController()
    const asked = { model: 'mock-n60-d50', stream: true, messages: [{ role: 'user', content: 'Hello' }] }
    const first = await fetch(`${a}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(asked),
      signal: leaving.signal,
    })
    expect(first.headers.get('x-sluice-cache')).toBe('miss')
    const second = await ask(b, 'mock-n60-d50', true)
    expect(second.headers.get('x-sluice-cache')).toBe('joined')
    leaving.abort()
    const text = await second.text()
    expect(textsOf(text).match(/tok/g)).toHaveLength(60)
    expect(text).toContain('[DONE]')
    expect(upstream.stats.requests - before).toBe(1)
  })
})
