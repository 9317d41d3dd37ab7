/** Deployments that are added at one node of a fleet, and tenants' own keys that are set there, are used at all. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { NO_REDIS } from '../redis/server.ts'
import { ADMIN_KEY, call, type Fleet, type FleetProcess, startFleet } from './fleet.ts'
import { killAll, lines, removeFolders } from './serve.ts'

type Body = Record<string, any>
const HOUSE = 'sk-house-key-0123456789'
const OWN = 'sk-canary-of-acme-4711-tail'
const ANSWER = JSON.stringify({
  ...{ id: 'c1', object: 'chat.completion', created: 1, model: 'm' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
})

describe.skipIf(NO_REDIS)('Redis: deployments and own keys of a fleet', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-fleet-deployments-'))
  const file = join(dir, 'sluice.yaml')
  let upstream: Server
  let base: string
  let fleet: Fleet
  let nodes: FleetProcess[]
  /** Model and key of each call, oldest first. */
  let seen: string[]
  const env = { HOUSE, SLUICE_SECRET_KEY: 'a-sealing-secret-of-the-fleet' }

  beforeAll(async () => {
    upstream = createServer(async (request, response) => {
      let body = ''
      for await (const part of request) body += part
      seen.push(`${JSON.parse(body).model} ${String(request.headers.authorization).replace('Bearer ', '')}`)
      response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER)
    })
    await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
    base = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}/v1`
    const filed = { name: 'filed', provider: 'openai-compatible', model: 'filed', base_url: base, deployment: 'one' }
    writeFileSync(file, JSON.stringify({ models: [{ ...filed, api_key: { env: 'HOUSE' } }] }))
    fleet = await startFleet()
    nodes = await Promise.all(
      (['gateway', 'gateway', 'worker'] as const).map((role) => fleet.add(role, { args: ['--config', file], env })),
    )
  })
  beforeEach(() => {
    seen = []
  })
  afterAll(async () => {
    await fleet?.stop()
    upstream?.close()
    killAll()
    removeFolders()
    rmSync(dir, { recursive: true })
  })

  async function admin({ adminUrl }: FleetProcess, method: string, path: string, body?: object): Promise<Body> {
    const response = await call(adminUrl, path, { key: ADMIN_KEY, method, body })
    const text = await response.text()
    return { status: response.status, ...(text === '' ? {} : JSON.parse(text)) }
  }
  async function ask(node: FleetProcess, model: string, key?: string): Promise<Body> {
    const body = { model, messages: [{ role: 'user', content: `hello ${seen.length}` }] }
    const response = await call(node.url!, '/v1/chat/completions', { body, ...(key !== undefined && { key }) })
    return { status: response.status, ...((await response.json()) as Body) }
  }
  const entry = (more: object = {}) => ({
    ...{ name: 'new', provider: 'openai-compatible', model: 'added', base_url: base, api_key: { env: 'HOUSE' } },
    ...{ deployment: 'gpu', ...more },
  })
  const listed = async (node: FleetProcess, name: string): Promise<Body | undefined> =>
    ((await admin(node, 'GET', '/admin/models'))['data'] as Body[])
      .flatMap(({ deployments }) => deployments)
      .find((each) => each.name === name)
  const everywhere = (check: (node: FleetProcess) => Promise<unknown>, is: unknown): Promise<void> =>
    expect
      .poll(() => Promise.all(nodes.filter(({ url }) => url !== null).map(check)))
      .toEqual(nodes.filter(({ url }) => url !== null).map(() => is))

  it('one that is added at a gateway serves jobs of both; a node that starts later has it', async () => {
    const [a, b] = nodes
    expect((await ask(b, 'new')).status).toBe(404)
    expect((await admin(a, 'POST', '/admin/deployments', entry())).status).toBe(201)
    await everywhere(async (node) => (await ask(node, 'new')).status, 200)
    expect(seen.every((each) => each === `added ${HOUSE}`)).toBe(true)
    const late = await fleet.add('all', { args: ['--config', file], env })
    nodes.push(late)
    expect((await ask(late, 'new')).status).toBe(200)
    expect(await listed(late, 'gpu')).toMatchObject({ source: 'api', provider: 'openai-compatible' })
  })

  it('its weight, its drain and its removal at another hold at all', async () => {
    const [a, b] = nodes
    await admin(b, 'PATCH', '/admin/deployments/gpu', { weight: 4 })
    await everywhere(async (node) => (await listed(node, 'gpu'))?.['weight'], 4)
    await admin(a, 'POST', '/admin/deployments/gpu/drain')
    await everywhere(async (node) => (await listed(node, 'gpu'))?.['state'], 'draining')
    expect((await admin(b, 'DELETE', '/admin/deployments/gpu')).status).toBe(204)
    await everywhere(async (node) => (await ask(node, 'new')).status, 404)
    await everywhere(async (node) => await listed(node, 'gpu'), undefined)
  })

  it("a tenant's own key that is set at one is used for its jobs of all, and by no log told", async () => {
    const [a, b] = nodes
    const { key } = await admin(a, 'POST', '/admin/keys', { tenant: 'acme' })
    const path = '/admin/tenants/acme/provider-keys/openai-compatible'
    expect((await admin(b, 'POST', path, { key: OWN })).status).toBe(200)
    const usedAt = async (node: FleetProcess): Promise<string> => {
      expect((await ask(node, 'filed', key)).status).toBe(200)
      return seen.at(-1)!
    }
    await everywhere(usedAt, `filed ${OWN}`)
    expect((await ask(a, 'filed')).status).toBe(200)
    expect(seen.at(-1)).toBe(`filed ${HOUSE}`)
    expect((await admin(a, 'DELETE', path)).status).toBe(204)
    await everywhere(usedAt, `filed ${HOUSE}`)
    for (const { err } of nodes) expect(err()).not.toContain('canary')
  })

  it('an erased tenant has no key at any; a worker with another sealing key fails its jobs, and says so', async () => {
    const [a, b] = nodes
    const path = '/admin/tenants/gone/provider-keys'
    await admin(a, 'POST', `${path}/openai-compatible`, { key: OWN })
    await everywhere(async (node) => (await admin(node, 'GET', path))['data'].length, 1)
    expect((await admin(b, 'DELETE', '/admin/tenants/gone')).status).toBe(204)
    await everywhere(async (node) => (await admin(node, 'GET', path))['data'].length, 0)

    const { key } = await admin(a, 'POST', '/admin/keys', { tenant: 'acme' })
    await admin(a, 'POST', '/admin/tenants/acme/provider-keys/openai-compatible', { key: OWN })
    const strange = await fleet.add('all', {
      args: ['--config', file],
      env: { ...env, SLUICE_SECRET_KEY: 'another-sealing-secret-of-one' },
    })
    // It works alone now
    for (const each of nodes.filter(({ role }) => role !== 'gateway')) {
      each.child.kill('SIGTERM')
      await each.ended
    }
    seen = []
    const failed = await ask(a, 'filed', key)
    expect([failed.status, failed['error'].code]).toEqual([502, 'own_key_failed'])
    expect(seen).toEqual([])
    const told = lines(strange.err()).filter(({ level, tenant }) => level === 'error' && tenant === 'acme')
    expect(told).toMatchObject([{ level: 'error', provider: 'openai-compatible' }])
  })
})
