/** The document of the public API: valid, whole, and true as far as answers can be had for the asking. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { madeDocument, publicRoutes } from '../../scripts/api-page.ts'
import { messages } from '../../src/dialects/messages/messages.ts'
import { JOB_OPTIONS } from '../../src/gateway/submit/job-options.ts'
import { startTestApp, type TestApp } from './app.ts'
import { type Answer, request, send } from './wire.ts'

type Node = Record<string, any>
let app: TestApp
let document: Node
let job: Node

beforeAll(async () => {
  app = await startTestApp({ bad_keys_per_minute: 1_000 })
  document = JSON.parse((await ask('GET', '/openapi.json')).body)
  const submitted = await ask('POST', '/v1/jobs', {
    request: { model: 'demo', messages: [{ role: 'user', content: 'Hi. demo: tokens=5 delay=1 ttft=1' }] },
    conversation: 'talk',
    metadata: { a: 'b' },
  })
  job = JSON.parse(submitted.body)
  expect((await ask('GET', `/v1/jobs/${job['id']}/result?wait_ms=50000`)).status).toBe(200)
})
afterAll(() => app?.stop())

const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  send(
    app.port,
    request(
      method,
      path,
      { authorization: `Bearer ${app.key}`, ...headers },
      body === undefined ? '' : JSON.stringify(body),
    ),
  )

/** No member of ours may be missing in it: where members are named, there are no others. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  return 'properties' in copy && !('additionalProperties' in copy) ? { ...copy, additionalProperties: false } : copy
}

/** What is wrong with a value; null: nothing. */
function faults(schema: Node, value: unknown): string | null {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  const { schemas } = document['components']
  const own = Object.fromEntries(Object.entries(schemas).map(([name, each]) => [name, closed(each)]))
  const check = ajv.compile({ ...(closed(schema) as object), components: { schemas: own } })
  return check(value) ? null : ajv.errorsText(check.errors)
}
const named = (name: string): Node => ({ $ref: `#/components/schemas/${name}` })
const operation = (method: string, path: string): Node => document['paths'][path][method.toLowerCase()]
const resolved = (node: Node): Node =>
  node['$ref'] === undefined ? node : document['components']['responses'][node['$ref'].split('/').at(-1)]

/** The answer is one of those that its operation names, and in its form. */
function expectDocumented(method: string, path: string, { status, headers, body }: Answer): void {
  const { responses } = operation(method, path)
  const response = responses[status] ?? (status >= 400 ? responses.default : undefined)
  expect(response, `${method} ${path}: ${status} ${body}`).toBeDefined()
  const { content } = resolved(response)
  if (content === undefined) return expect(body, `${method} ${path}`).toBe('')
  const type = headers['content-type'].split(';')[0]
  expect(Object.keys(content), `${method} ${path}`).toContain(type)
  if (type !== 'application/json') return
  expect(faults(content[type].schema, JSON.parse(body)), `${method} ${path}: ${body}`).toBeNull()
}

it('is valid, by the schemas that OpenAPI publishes', async () => {
  const { Validator } = await import('@seriousme/openapi-schema-validator')
  const validator = new Validator()
  expect(await validator.validate(structuredClone(document))).toEqual({ valid: true })
  expect(validator.version).toBe('3.1')
  // References too lead somewhere
  const text = JSON.stringify(document)
  for (const [, kind, name] of text.matchAll(/"#\/components\/(\w+)\/([\w-]+)"/g))
    expect(document['components'][kind][name], name).toBeDefined()
  const ids = [...text.matchAll(/"operationId":"(\w+)"/g)].map(([, id]) => id)
  expect(new Set(ids).size).toBe(ids.length)
})

it('has each route of the table, with who may use it and what it takes, and no other', () => {
  const routes = publicRoutes()
  const path = (text: string): string => text.replace(/[:*](\w+)/g, '{$1}')
  const documented = Object.entries(document['paths']).flatMap(([at, methods]) =>
    Object.keys(methods as Node).map((method) => `${method.toUpperCase()} ${at}`),
  )
  expect(documented.sort()).toEqual(routes.map((route) => `${route.method} ${path(route.path)}`).sort())
  for (const route of routes) {
    const { parameters, security, responses } = operation(route.method, path(route.path))
    const taken = parameters.filter((one: Node) => one['in'] === 'query').map((one: Node) => one['name'])
    expect(taken).toEqual(route.query === 'any' ? [] : [...new Set(route.query ?? [])])
    expect(security.length, route.path).toBe({ none: 0, tenant: 3, ticket: 2, operator: 1 }[route.auth])
    if (route.auth === 'tenant' && route.errors?.error !== messages.error)
      expect(Object.keys(responses)).toEqual(expect.arrayContaining(['401', '403', '429']))
  }
  expect(madeDocument().missing).toEqual([])
})

it('is had without a key, and only once by who keeps it', async () => {
  const first = await send(app.port, request('GET', '/openapi.json', {}, ''))
  expect([first.status, first.headers['content-type']]).toEqual([200, 'application/json; charset=utf-8'])
  expect(first.headers['cache-control']).toBe('public, max-age=300')
  const again = await ask('GET', '/openapi.json', undefined, { 'if-none-match': first.headers['etag'] })
  expect([again.status, again.body, again.headers['etag']]).toEqual([304, '', first.headers['etag']])
  expect((await ask('GET', '/openapi.json', undefined, { 'if-none-match': '"x"' })).body).toBe(first.body)
})

describe('answers are as it says', () => {
  const chat = { model: 'demo', messages: [{ role: 'user', content: 'Hi. demo: tokens=3 delay=1 ttft=1' }] }
  it.each<[method: string, path: string, at: string, status: number, body?: unknown]>([
    ['GET', '/', '', 200],
    ['GET', '/livez', '', 200],
    ['GET', '/readyz', '', 200],
    ['GET', '/openapi.json', '', 200],
    ['GET', '/v1/models', '', 200],
    ['GET', '/v1/models/{id}', '/v1/models/demo', 200],
    ['GET', '/v1/models/{id}', '/v1/models/none', 404],
    ['POST', '/v1/chat/completions', '', 200, chat],
    ['POST', '/v1/chat/completions', '', 200, { ...chat, stream: true }],
    ['POST', '/v1/chat/completions', '', 400, { model: 'demo' }],
    ['POST', '/v1/embeddings', '', 200, { model: 'demo', input: 'x' }],
    ['POST', '/v1/responses', '', 200, { model: 'demo', input: 'Hi. demo: tokens=3 delay=1 ttft=1' }],
    ['POST', '/v1/messages', '', 200, { ...chat, max_tokens: 10 }],
    ['POST', '/v1/messages', '', 400, { model: 'demo' }],
    ['POST', '/v1/messages/count_tokens', '', 200, chat],
    ['GET', '/v1/responses/{id}', '/v1/responses/resp_0', 404],
    ['POST', '/v1/tokenize', '', 200, { model: 'demo', text: 'x' }],
    ['POST', '/v1/estimate', '', 200, chat],
    ['GET', '/v1/usage', '/v1/usage?group_by=day,user,model', 200],
    ['GET', '/v1/usage', '/v1/usage?format=csv', 200],
    ['POST', '/v1/jobs', '', 202, { request: chat }],
    ['POST', '/v1/jobs', '', 202, { request: chat, idempotency_key: 'twice' }],
    ['POST', '/v1/jobs', '', 200, { request: chat, idempotency_key: 'twice' }],
    ['POST', '/v1/jobs', '', 202, { jobs: [{ request: chat }, { request: {} }] }],
    ['POST', '/v1/jobs', '', 400, { request: chat, priorty: 'low' }],
    ['GET', '/v1/jobs', '', 200],
    ['GET', '/v1/jobs/{id}', '/v1/jobs/JOB', 200],
    ['GET', '/v1/jobs/{id}', '/v1/jobs/job_0', 404],
    ['GET', '/v1/jobs/{id}/result', '/v1/jobs/JOB/result', 200],
    ['GET', '/v1/jobs/{id}/request', '/v1/jobs/JOB/request', 200],
    ['GET', '/v1/jobs/{id}/events', '/v1/jobs/JOB/events', 200],
    ['GET', '/v1/jobs/{id}/events', '/v1/jobs/JOB/events?after=x', 400],
    ['POST', '/v1/jobs/{id}/cancel', '/v1/jobs/JOB/cancel', 202],
    ['GET', '/v1/conversations', '', 200],
    ['GET', '/v1/conversations', '/v1/conversations?id=talk', 200],
    ['GET', '/v1/conversations/{id}', '/v1/conversations/talk', 200],
    ['PATCH', '/v1/conversations/{id}', '/v1/conversations/talk', 204, { name: 'x' }],
    ['POST', '/v1/conversations', '', 200, { metadata: { a: 'b' } }],
    ['POST', '/v1/conversations', '', 400, { items: [{ role: 'user', content: 'x' }] }],
    ['POST', '/v1/tickets', '', 201, { user: 'u' }],
    ['POST', '/v1/sessions', '', 401, { ticket: 'x' }],
    ['POST', '/v1/conversations/{id}/truncate', '/v1/conversations/talk/truncate', 204, { keep_turns: 0 }],
    ['DELETE', '/v1/conversations/{id}', '/v1/conversations/talk', 204],
  ])('%s %s %s %i', async (method, path, at, status, body) => {
    const headers: Record<string, string> = path === '/v1/sessions' ? { authorization: '' } : {}
    const answer = await ask(method, (at || path).replace('JOB', job['id']), body, headers)
    expect(answer.status, answer.body).toBe(status)
    expectDocumented(method, path, answer)
  })

  it('of jobs that wait, that failed, that were canceled', async () => {
    const made = async (content: string, more: object = {}): Promise<Node> => {
      const body = { request: { model: 'demo', messages: [{ role: 'user', content }] }, ...more }
      return JSON.parse((await ask('POST', '/v1/jobs', body)).body)
    }
    const failed = await made('demo: fail=400 ttft=1')
    const waits = await made('x', { delay_ms: 60_000, lane: 'slow' })
    const result = await ask('GET', `/v1/jobs/${failed['id']}/result?wait_ms=50000`)
    expect(result.status).toBe(400)
    expectDocumented('GET', '/v1/jobs/{id}/result', result)
    expectDocumented('GET', '/v1/jobs/{id}/result', await ask('GET', `/v1/jobs/${waits['id']}/result`))
    expectDocumented('POST', '/v1/jobs/{id}/cancel', await ask('POST', `/v1/jobs/${waits['id']}/cancel`))
    for (const one of [failed, waits])
      expectDocumented('GET', '/v1/jobs/{id}', await ask('GET', `/v1/jobs/${one['id']}`))
    expectDocumented('POST', '/v1/jobs/{id}/redrive', await ask('POST', `/v1/jobs/${failed['id']}/redrive`))
  })

  it('of each event', async () => {
    const { body } = await ask('GET', `/v1/jobs/${job['id']}/events`)
    const events = body.split('\n\n').flatMap((block) => {
      const [, name] = /^event: (\w+)$/m.exec(block) ?? []
      return name === undefined ? [] : [[name, JSON.parse(/^data: (.*)$/m.exec(block)![1])] as const]
    })
    expect(new Set(events.map(([name]) => name))).toEqual(new Set(['attempt', 'chunk', 'usage', 'end']))
    for (const [name, data] of events) {
      const schema = `Event${name[0].toUpperCase()}${name.slice(1)}`
      expect(faults(named(schema), data), name).toBeNull()
    }
  })
})

describe('each option', () => {
  const body = { request: { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=1 ttft=1' }] } }
  const NO_JOB = `job_${'0'.repeat(26)}`
  const isJob = ({ pattern = '' }: Node): boolean => pattern.startsWith('^job_')
  const at = (schema: Node): unknown[] => {
    if (schema['anyOf'] !== undefined) return schema['anyOf'].flatMap(at)
    if (schema['enum'] !== undefined) return schema['enum']
    switch (schema['type']) {
      case 'boolean':
        return [true, false]
      case 'integer':
        return [schema['minimum'], schema['maximum']]
      case 'array':
        return [[], Array(schema['maxItems']).fill(isJob(schema['items']) ? NO_JOB : 'eu')]
      case 'object':
        return [{}, { a: 'b'.repeat(512) }]
      default:
        return isJob(schema) ? [NO_JOB] : ['x', 'x'.repeat(schema['maxLength'])]
    }
  }
  const beyond = (schema: Node): unknown[] => {
    if (schema['anyOf'] !== undefined || schema['enum'] !== undefined) return ['nonsense']
    switch (schema['type']) {
      case 'integer':
        return [schema['minimum'] - 1, schema['maximum'] + 1, 1.5]
      case 'array':
        return [Array(schema['maxItems'] + 1).fill(isJob(schema['items']) ? NO_JOB : 'eu'), ['no spaces']]
      case 'object':
        return [Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v'])), { a: 'b'.repeat(513) }]
      default:
        return ['', isJob(schema) ? `${NO_JOB}0` : 'x'.repeat(schema['maxLength'] + 1)]
    }
  }

  it.each(JOB_OPTIONS)('%s is taken up to its documented bounds, and not beyond', async (name) => {
    const schema = document['components']['schemas']['JobOptions'].properties[name]
    // Its own rule: it ends before the deadline
    const beside = name === 'delay_ms' ? { deadline_ms: 30 * 86_400_000 } : {}
    for (const value of at(schema)) {
      const isAtDeadline = name === 'delay_ms' && value === schema['maximum']
      const { status, body: said } = await ask('POST', '/v1/jobs', {
        ...body,
        ...beside,
        [name]: isAtDeadline ? (value as number) - 1 : value,
      })
      // No deployment has those tags, and there is no such job, or webhook; the form is right
      const isUnknown = status === (name === 'tags' || name === 'webhook' ? 400 : 404)
      const isElsewhere = isUnknown && !JSON.parse(said).error.message.includes('must be')
      expect(status === 200 || status === 202 || isElsewhere, `${name} ${value}: ${said}`).toBe(true)
    }
    for (const value of beyond(schema)) {
      const { status, body: said } = await ask('POST', '/v1/jobs', { ...body, ...beside, [name]: value })
      expect([status, JSON.parse(said).error.param], `${name} ${value}`).toEqual([400, name])
    }
  })

  it('is in the document, as a member and, but for metadata, as a header', () => {
    const { schemas, parameters } = document['components']
    expect(Object.keys(schemas.JobOptions.properties).sort()).toEqual([...JOB_OPTIONS].sort())
    expect(Object.keys(parameters).length).toBe(JOB_OPTIONS.length - 1)
  })
})
