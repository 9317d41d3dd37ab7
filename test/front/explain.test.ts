/** `sluice route explain`: where a request would go, what else there is, and why not there. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { run } from '../../src/cli/run.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { request, send } from './wire.ts'

let app: TestApp
beforeAll(async () => {
  const demo = { name: 'chat', provider: 'demo' }
  app = await startTestApp(
    {},
    {
      models: [
        { ...demo, deployment: 'first', context_tokens: 5_000 },
        { ...demo, deployment: 'second', order: 1, tags: ['eu'] },
        { ...demo, deployment: 'blind', order: 1, can: { vision: false } },
        { ...demo, name: 'free', deployment: 'loose', can: { json_schema: false, tools: false } },
        { ...demo, name: 'free', deployment: 'strict', order: 1 },
        { ...demo, name: 'emb', deployment: 'vectors', kinds: ['embedding'] },
        { ...demo, name: 'short', deployment: 'near', context_tokens: 1_000 },
        { ...demo, name: 'short', deployment: 'far', context_tokens: 1_000, order: 1 },
        { name: 'halved', deployment: 'gone', provider: 'openai-compatible', base_url: 'http://127.0.0.1:1/v1' },
        { ...demo, name: 'halved', deployment: 'there', order: 1 },
        { ...demo, name: 'drawn', deployment: 'heavy', policy: 'weighted', weight: 3 },
        { ...demo, name: 'drawn', deployment: 'light', policy: 'weighted', weight: 0 },
      ],
      tenants: [{ name: 'narrow' }],
    },
  )
  await app.addKey('narrow')
})
afterAll(() => app?.stop())

async function explain(body: object): Promise<{ status: number; json: Record<string, any> }> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` }
  const answer = await send(app.adminPort, request('POST', '/admin/route/explain', headers, JSON.stringify(body)))
  return { status: answer.status, json: JSON.parse(answer.body) }
}
const outs = (json: Record<string, any>): Record<string, string | null> =>
  Object.fromEntries(json['steps'][0].deployments.map((one: any) => [one.deployment, one.out]))

it('tells the choice, and of each other one why it is none', async () => {
  const { status, json } = await explain({ model: 'chat' })
  expect([status, json['deployment'], json['refused']]).toEqual([200, 'first', null])
  expect(outs(json)).toEqual({ first: null, second: 'order', blind: 'order' })
  expect(json['steps'][0].deployments.map(({ why }: any) => why)).toContain('order 1: first comes first')
  const long = (await explain({ model: 'chat', prompt_tokens: 9_000, tags: ['eu'] })).json
  expect(long['deployment']).toBe('second')
  expect(outs(long)['first']).toMatch(/tags|context/)
  const images = (await explain({ model: 'chat', prompt_tokens: 9_000, can: ['vision'] })).json
  expect([images['deployment'], outs(images)['blind']]).toEqual(['second', 'abilities'])
})

it.each(['json_schema', 'tools'])('sends what needs %s to who can do it, by the settings', async (need) => {
  expect((await explain({ model: 'free' })).json['deployment']).toBe('loose')
  expect((await explain({ model: 'free', can: [need] })).json['deployment']).toBe('strict')
})

it('tells it of a job, by what that one needs', async () => {
  const body = { model: 'chat', messages: [{ role: 'user', content: 'word '.repeat(9_000) }] }
  const key = { authorization: `Bearer ${app.key}` }
  const made = await send(app.port, request('POST', '/v1/jobs', key, JSON.stringify({ request: body })))
  const { id } = JSON.parse(made.body) as { id: string }
  const of = async (job: string) => {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` }
    return JSON.parse((await send(app.adminPort, request('GET', `/admin/jobs/${job}/route`, headers))).body)
  }
  const route = await of(id)
  expect(route).toMatchObject({ object: 'route_trace', refused: null, own_key: false })
  expect(route.prompt_tokens).toBeGreaterThan(5_000)
  expect(outs(route)['first']).toBe('context')
  expect(['second', 'blind']).toContain(route.deployment)
  expect(await of('job_00000000000000000000000000')).toMatchObject({ error: { code: 'job_not_found' } })
})

it('tells what keeps a tenant from it', async () => {
  await app.admin('/admin/disable', { tenant: 'narrow' })
  const { json } = await explain({ model: 'chat', tenant: 'narrow' })
  expect(json['refused']).toMatchObject({ code: 'access_disabled' })
  expect(json['deployment']).toBe('first')
})

it('refuses what it does not know, and names what there is', async () => {
  for (const [body, message] of [
    [{ model: 'chatt' }, 'Did you mean "chat"?'],
    [{}, 'There is no model'],
    [{ model: 'chat', tokens: 1 }, 'not a known member'],
    [{ model: 'chat', can: ['fly'] }, 'must be one of'],
    [{ model: 'chat', tags: Array(99).fill('x') }, 'at most 20'],
    [{ model: 'chat', prompt_tokens: -1 }, 'a whole number'],
  ] as const) {
    const { status, json } = await explain(body)
    expect(status, JSON.stringify(body)).toBeGreaterThanOrEqual(400)
    expect(json['error'].message).toContain(message)
  }
})

async function printed(...args: string[]): Promise<string> {
  const out: string[] = []
  const before = process.env
  process.env = { ...before, SLUICE_ADMIN_URL: `http://127.0.0.1:${app.adminPort}`, SLUICE_ADMIN_KEY: ADMIN_KEY }
  try {
    const print = (line: string): void => void out.push(line)
    await run(['route', ...args], { print, write: print, note: print })
  } finally {
    process.env = before
  }
  return out.join('\n')
}

it('the command prints it', async () => {
  expect(await printed('explain', 'chat', '--tokens', '2000')).toMatch(
    /-> +first .*\n +second .*order 1: first comes first[\s\S]*It would go to first \(2000 tokens/,
  )
})

it('the command tells where a job was tried, and how it ended', async () => {
  const body = JSON.stringify({ request: { model: 'halved', messages: [{ role: 'user', content: 'Hi' }] } })
  const key = { authorization: `Bearer ${app.key}` }
  const { id } = JSON.parse((await send(app.port, request('POST', '/v1/jobs', key, body))).body)
  const told = 'attempt 1  first, gone\nattempt 2  again, nothing was shown, there\nEnded: done.'
  await expect.poll(() => printed('job', id)).toBe(told)
})

it('takes the only kind of a model, and tells of another kind that none is for it', async () => {
  expect(await printed('explain', 'emb')).toMatch(/-> +vectors[\s\S]*It would go to vectors/)
  const chat = await printed('explain', 'emb', '--kind', 'chat')
  expect(chat).toMatch(/ vectors .*is not for chat\nIt would be refused: no deployment of it is for chat\.$/)
})

it('says that a prompt is longer than every context window', async () => {
  const long = await printed('explain', 'short', '--tokens', '4000')
  expect(long).toMatch(/-> +near .*longer than its context window; no other fits\n/)
  expect(long).toMatch(/It would go to near[\s\S]*longer than any context window there; it is sent all the same/)
  expect(await printed('explain', 'short', '--tokens', '10')).not.toContain('longer than')
})

it('tells a weight as it is, and that the draw was lost', async () => {
  const drawn = await printed('explain', 'drawn')
  expect(drawn).toContain('score: weight, a draw in proportion to it')
  expect(drawn).toMatch(/-> +heavy +0 +0 +3 /)
  expect(drawn).toMatch(/ light .*lost the draw/)
})

it('names the words of --needs when another is given', async () => {
  expect(await printed('explain', 'chat', '--needs', 'images')).toContain(
    '--needs takes tools, vision, json_schema, continue, not "images".',
  )
})
