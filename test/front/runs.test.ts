/**
 * Runs of agents over HTTP, on both engines: an agent that loops is stopped by each of its budgets and by the guard; a
 * run, or what stems from a job, is canceled as a whole; who sees what.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'

type Said = Record<string, any>

const PAGE_RUNS = 6

let calls = 0
const held = new Set<ServerResponse>()

/** Calls a tool, always the same, unless it is told to hold, or to vary. 300 tokens in, more than is estimated. */
const provider = createServer((request, response) => {
  let body = ''
  request.on('data', (data) => (body += data))
  request.on('end', () => {
    const { messages, stream } = JSON.parse(body) as { messages: Said[]; stream?: boolean }
    const said = JSON.stringify(messages[0])
    if (said.includes('hold')) {
      held.add(response)
      response.on('close', () => held.delete(response))
      return
    }
    calls++
    const city = said.includes('vary') ? `Paris ${calls}` : 'Paris'
    const call = {
      id: `call_${calls}`,
      type: 'function',
      function: { name: 'look', arguments: JSON.stringify({ city }) },
    }
    const usage = { prompt_tokens: 300, completion_tokens: 10, total_tokens: 310 }
    if (stream !== true) {
      const message = { role: 'assistant', content: null, tool_calls: [call] }
      response.writeHead(200, { 'content-type': 'application/json' })
      return response.end(
        JSON.stringify({
          ...{ id: 'a', object: 'chat.completion', created: 1, model: 'm', usage },
          choices: [{ index: 0, message, finish_reason: 'tool_calls' }],
        }),
      )
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const delta = { tool_calls: [{ index: 0, ...call }] }
    response.write(`data: ${JSON.stringify({ id: 'a', choices: [{ index: 0, delta }] })}\n\n`)
    const end = { id: 'a', choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }], usage }
    return response.end(`data: ${JSON.stringify(end)}\n\ndata: [DONE]\n\n`)
  })
})

beforeAll(() => new Promise<void>((done) => provider.listen(0, '127.0.0.1', done)))
afterAll(() => {
  provider.closeAllConnections()
  provider.close()
})

describe.each(['embedded', 'redis'])('%s', (engine) => {
  const isOut = engine === 'redis' && NO_REDIS
  let app: TestApp
  let redis: RedisServer | undefined

  beforeAll(async () => {
    if (isOut) return
    redis = engine === 'redis' ? await RedisServer.start() : undefined
    const base = `http://127.0.0.1:${(provider.address() as AddressInfo).port}/v1`
    const price = { input: 1_000, output: 1_000 }
    app = await startTestApp(
      {},
      {
        models: [{ name: 'm', provider: 'openai-compatible', base_url: base, price }],
        sessions: { max_runs: PAGE_RUNS },
        workers: { concurrency: 40, drain_ms: 2_000 },
        limits: { each_tenant: { dollars_per_day: 100_000 } },
        tenants: [
          { name: 'other' },
          { name: 'lists-a' },
          { name: 'lists-b' },
          { name: 'capped' },
          { name: 'flat', limits: { each_run: { depth: 2 } } },
        ],
        ...(redis !== undefined && { engine: { redis: { url: redis.url } }, durability: 'process' }),
      },
    )
  }, 60_000)
  afterAll(async () => {
    await app?.stop()
    await redis?.remove()
  })

  async function call(path: string, body?: object, key = app.key): Promise<[number, Said]> {
    const response = await fetch(`http://127.0.0.1:${app.port}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { ...(key !== '' && { authorization: `Bearer ${key}` }), 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return [response.status, (await response.json()) as Said]
  }
  const asks = (content: string): Said => ({ model: 'm', max_tokens: 10, messages: [{ role: 'user', content }] })
  async function submit(more: Said = {}, content = 'hold', key = app.key): Promise<string> {
    const [status, { id, error }] = await call('/v1/jobs', { request: asks(content), ...more }, key)
    expect([status, error ?? null]).toEqual([202, null])
    return id
  }
  async function refused(more: Said, content = 'x', key = app.key): Promise<unknown[]> {
    const [status, { error }] = await call('/v1/jobs', { request: asks(content), ...more }, key)
    return [status, error?.code]
  }

  /** Of the tenant's budget. */
  async function heldMoney(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${app.adminPort}/admin/tenants/default/standing`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    })
    const { data } = (await response.json()) as Said
    return data.find(({ unit }: Said) => unit === 'nano_dollars').held
  }

  /** An agent that never comes to an end, but for what it is refused with. How many steps it made. */
  async function agent(run: string, { sees = 'vary', deep = false, most = 40 } = {}): Promise<[number, string, Said]> {
    const messages: Said[] = [{ role: 'user', content: `Where? ${sees}` }]
    let parent: string | undefined
    for (let step = 0; step < most; step++) {
      const sluice = { run, ...(deep && parent !== undefined && { parent }) }
      const response = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', max_tokens: 10, messages, sluice }),
      })
      const said = (await response.json()) as Said
      if (response.status !== 200) return [step, said['error'].code, said['error']]
      parent = response.headers.get('sluice-job')!
      const { message } = said['choices'][0]
      messages.push(message, { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'nothing' })
    }
    return [most, 'never stopped', {}]
  }

  it.skipIf(isOut)('an agent in a conversation is found by its turns, though it sends results alone', async () => {
    let said: Said[] = [{ role: 'user', content: 'Where? The same.' }]
    for (let step = 0; ; step++) {
      const sluice = { run: 'talks', conversation: 'c-loop' }
      const [status, answer] = await call('/v1/chat/completions', {
        model: 'm',
        max_tokens: 10,
        messages: said,
        sluice,
      })
      if (step === 5) return expect([status, answer['error'].code]).toEqual([409, 'loop_detected'])
      expect(status).toBe(200)
      const [{ id }] = answer['choices'][0].message.tool_calls
      said = [{ role: 'tool', tool_call_id: id, content: 'nothing' }]
    }
  })

  it.skipIf(isOut)('agents side by side that begin alike are no loop', async () => {
    for (let agent = 0; agent < 8; agent++) {
      const made = { id: `plan_${agent}`, type: 'function', function: { name: 'read_plan', arguments: '{}' } }
      const messages = [
        { role: 'user', content: `You are researcher ${agent}. vary` },
        { role: 'assistant', content: null, tool_calls: [made] },
        { role: 'tool', tool_call_id: made.id, content: 'The plan.' },
      ]
      const [status] = await call('/v1/chat/completions', {
        model: 'm',
        max_tokens: 10,
        messages,
        sluice: { run: 'fan' },
      })
      expect(status).toBe(200)
    }
  })

  it.skipIf(isOut).each([
    ['tokens', { tokens: 1_560 }, 5],
    ['usd', { usd: 1.56 }, 5],
    ['steps', { steps: 5 }, 5],
    ['depth', { depth: 5 }, 5],
  ])('an agent that loops is stopped by its budget of %s', async (name, budget, most) => {
    const run = `loops-${name}`
    expect((await call('/v1/runs', { id: run, budget }))[0]).toBe(201)
    const [steps, code, error] = await agent(run, { deep: name === 'depth' })
    expect([steps, code]).toEqual([most, 'run_budget_exceeded'])
    if (name !== 'depth') expect(error['limit']).toMatchObject({ level: 'run', name: run, window: 'run' })
    const [, { totals, state, jobs }] = await call(`/v1/runs/${run}`)
    expect([state, totals.steps, totals.total_tokens, totals.usd]).toEqual(['idle', 5, 1_550, 1.55])
    expect(totals.depth).toBe(name === 'depth' ? 5 : 1)
    expect(jobs.map((job: Said) => job['parent'])).toEqual(
      name === 'depth' ? [null, ...jobs.slice(0, -1).map((job: Said) => job['id'])] : Array(5).fill(null),
    )
    // Whoever repeats it is told the same
    expect((await agent(run, { deep: name === 'depth', most: name === 'depth' ? 6 : 1 })).slice(0, 2)).toEqual(
      name === 'depth' ? [5, 'run_budget_exceeded'] : [0, 'run_budget_exceeded'],
    )
  })

  it.skipIf(isOut)('an agent that repeats one call is stopped, one that gets on is not', async () => {
    expect((await agent('circles', { sees: 'the same' })).slice(0, 2)).toEqual([5, 'loop_detected'])
    expect((await agent('gets on', { most: 14 })).slice(0, 2)).toEqual([14, 'never stopped'])
    await call('/v1/runs', { id: 'polls', loop_guard: false })
    expect((await agent('polls', { sees: 'the same', most: 8 })).slice(0, 2)).toEqual([8, 'never stopped'])
  })

  it.skipIf(isOut)(
    'a tree of 200 jobs, running, waiting and in line, is canceled as a whole, and nothing is held',
    async () => {
      expect((await call('/v1/runs', { id: 'tree', budget: { tokens: 1_000_000 } }))[0]).toBe(201)
      const root = await submit({ run: 'tree' })
      const [, { data: first }] = await call('/v1/jobs', {
        jobs: Array.from({ length: 100 }, (_, i) => ({
          ...{ request: asks('hold'), parent: root },
          ...(i % 2 === 0 && { policy: 'reject' }),
        })),
      })
      const [, { data: second }] = await call('/v1/jobs', {
        jobs: first.slice(1).map(({ id }: Said) => ({ request: asks('hold'), parent: id, after: [id] })),
      })
      const other = await submit({ run: 'another' })
      await expect.poll(() => held.size, { timeout: 20_000 }).toBe(40)
      // What runs, and what is not to wait, holds what it weighs
      expect(await heldMoney()).toBeGreaterThan(0)
      const began = performance.now()
      const [status, { state }] = await call('/v1/runs/tree/cancel', {})
      let totals: Said = {}
      for (let isDone = false; !isDone; ) {
        totals = (await call('/v1/runs/tree?limit=1'))[1]['totals']
        isDone = totals['states'].canceled + (totals['states'].failed ?? 0) === totals['jobs']
      }
      const tookMs = performance.now() - began
      console.log(`${engine}: a tree of ${totals['jobs']} jobs was canceled in ${tookMs.toFixed(0)} ms`)
      expect([status, state, totals['jobs']]).toEqual([202, 'canceled', 1 + first.length + second.length])
      // No bound of time: this machine may be busy. The figure is in docs/runs.md
      expect((await call('/v1/runs/tree/cancel', {}))[0]).toBe(202)
      expect(await refused({ run: 'tree' })).toEqual([409, 'run_canceled'])
      expect(await refused({ parent: root })).toEqual([409, 'run_canceled'])
      await expect.poll(() => held.size, { timeout: 20_000 }).toBe(1)
      expect((await call(`/v1/jobs/${other}`))[1]['state']).toBe('leased')
      await call(`/v1/jobs/${other}/cancel`, {})
      await expect.poll(heldMoney, { timeout: 20_000 }).toBe(0)
    },
  )

  it.skipIf(isOut)('canceling a job with tree=true ends what stems from it, and nothing else', async () => {
    const root = await submit({ run: 'family' })
    const child = await submit({ parent: root })
    const done = await submit({ parent: child }, 'quick')
    await call(`/v1/jobs/${done}?wait_ms=30000`)
    const grandchild = await submit({ parent: done })
    const sibling = await submit({ run: 'family' })
    expect(await call(`/v1/jobs/${child}/cancel?tree=maybe`, {})).toMatchObject([400, { error: { param: 'tree' } }])
    const [status, { canceled }] = await call(`/v1/jobs/${child}/cancel?tree=true`, {})
    expect([status, canceled]).toEqual([202, 2])
    for (const id of [child, grandchild])
      expect((await call(`/v1/jobs/${id}?wait_ms=30000`))[1]['state']).toBe('canceled')
    for (const id of [root, sibling]) expect((await call(`/v1/jobs/${id}`))[1]['state']).toBe('leased')
    expect((await call(`/v1/jobs/${done}`))[1]['state']).toBe('done')
    await call('/v1/runs/family/cancel', {})
  })

  it.skipIf(isOut)('jobs in line end with the budget that they wait for', async () => {
    await call('/v1/runs', { id: 'line', budget: { steps: 1 } })
    const [, { data }] = await call('/v1/jobs', {
      jobs: Array.from({ length: 5 }, () => ({ request: asks('quick'), run: 'line', lane: 'one' })),
    })
    const ends = await Promise.all(data.map(async ({ id }: Said) => (await call(`/v1/jobs/${id}?wait_ms=30000`))[1]))
    expect(ends.map(({ state, error }) => [state, error?.code])).toEqual([
      ['done', undefined],
      ...Array(4).fill(['failed', 'run_budget_exceeded']),
    ])
  })

  it.skipIf(isOut)('of a page are few and small', async () => {
    const { key } = await app.addKey('capped')
    const [, { ticket }] = await call('/v1/tickets', { user: 'ann' }, key)
    const session = (await call('/v1/sessions', { ticket }, ''))[1]['token']
    const begun = async (body: Said, by = session): Promise<unknown[]> => {
      const [status, { error }] = await call('/v1/runs', body, by)
      return [status, error?.code ?? null]
    }
    const metadata = { a: 'x'.repeat(500), b: 'x'.repeat(500), c: 'x'.repeat(500) }
    expect(await begun({ metadata })).toEqual([400, 'invalid_request'])
    for (let n = 0; n < PAGE_RUNS; n++) expect(await begun({ id: `r${n}` })).toEqual([201, null])
    expect(await begun({ id: 'more' })).toEqual([429, 'too_many_runs'])
    expect(await refused({ run: 'more' }, 'quick', session)).toEqual([429, 'too_many_runs'])
    await submit({ run: 'r0' }, 'quick', session)
    expect(await begun({ id: 'more', metadata }, key)).toEqual([201, null])
  })

  it.skipIf(isOut)('is listed newest first, is its own tenant’s, and a page sees but its own user’s', async () => {
    const { key } = await app.addKey('other')
    const [, made] = await call('/v1/runs', { metadata: { a: 'b' }, budget: { usd: 1.5, depth: 3 } }, key)
    expect(made).toMatchObject({
      object: 'run',
      state: 'open',
      budget: { usd: 1.5, depth: 3, tokens: null, steps: null },
    })
    await submit({ run: 'second' }, 'quick', key)
    const [, { ticket }] = await call('/v1/tickets', { user: 'ann' }, key)
    const session = (await call('/v1/sessions', { ticket }, ''))[1]['token']
    await submit({ run: 'hers' }, 'quick', session)
    const names = async (query: string, by: string): Promise<string[]> =>
      (await call(`/v1/runs${query}`, undefined, by))[1]['data'].map(({ id }: Said) => id)
    expect(await names('', key)).toEqual(['ann/hers', 'second', made['id']])
    const [, page] = await call('/v1/runs?limit=2', undefined, key)
    expect([page['has_more'], page['data'].length]).toEqual([true, 2])
    expect(await names(`?after=${page['next']}`, key)).toEqual([made['id']])
    expect(await names('', session)).toEqual(['hers'])
    expect(await names('?limit=1', session)).toEqual(['hers'])
    const jobsOf = async (run: string, by: string): Promise<number> =>
      (await call(`/v1/jobs?run=${encodeURIComponent(run)}`, undefined, by))[1]['data'].length
    expect(await Promise.all([jobsOf('hers', session), jobsOf('ann/hers', key), jobsOf('second', key)])).toEqual([
      1, 1, 1,
    ])
    expect(await Promise.all([jobsOf('second', session), jobsOf('hers', key), jobsOf('second', app.key)])).toEqual([
      0, 0, 0,
    ])
    expect((await call('/v1/runs/hers', undefined, session))[1]['totals'].jobs).toBe(1)
    // Operators name it as it is stored
    const operated = await fetch(`http://127.0.0.1:${app.adminPort}/admin/runs/other/ann%2Fhers`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    })
    expect(await operated.json()).toMatchObject({ id: 'ann/hers', totals: { jobs: 1 }, jobs: [{ model: 'm' }] })
    for (const path of ['/admin/runs/default/second/cancel', '/admin/runs/other/hers/cancel'])
      expect((await app.admin(path)).status).toBe(404)
    const ended = await app.admin('/admin/runs/other/ann%2Fhers/cancel')
    expect([ended.status, ((await ended.json()) as Said)['state']]).toEqual([202, 'canceled'])
    expect(await refused({ run: 'hers' }, 'quick', session)).toEqual([409, 'run_canceled'])
    for (const path of ['/v1/runs/second', '/v1/runs/second/cancel', `/v1/runs/${made['id']}`])
      for (const by of [app.key, session] as string[])
        expect([path, (await call(path, path.endsWith('cancel') ? {} : undefined, by))[1]['error'].code]).toEqual([
          ...[path, 'run_not_found'],
        ])
    expect(
      (await call('/v1/runs', { id: made['id'], metadata: { a: 'b' }, budget: { depth: 3, usd: 1.5 } }, key))[0],
    ).toBe(200)
    expect((await call('/v1/runs', { id: made['id'] }, key))[1]['error'].code).toBe('run_exists')
    for (const [asked, param] of [
      [{ id: 'a b' }, 'id'],
      [{ id: '..' }, 'id'],
      [{ budget: { steps: 0 } }, 'budget.steps'],
      [{ budget: { usd: '1' } }, 'budget.usd'],
      [{ budget: { step: 1 } }, 'step'],
      [{ metadata: 1 }, 'metadata'],
      [{ loop_guard: 1 }, 'loop_guard'],
      [{ name: 'x' }, 'name'],
    ] as const)
      expect((await call('/v1/runs', asked, key))[1]['error']).toMatchObject({ code: 'invalid_request', param })
  })

  it.skipIf(isOut)('who has begun a run closes it, and ends its own jobs, not those of another key', async () => {
    const beginner = (await app.addKey('other', { scopes: ['submit', 'read'] })).key
    const guest = (await app.addKey('other', { scopes: ['submit', 'read'] })).key
    const manager = (await app.addKey('other')).key
    const own = await submit({ run: 'shared' }, 'hold', beginner)
    const theirs = await submit({ run: 'shared', parent: own }, 'hold', guest)
    const stateOf = async (id: string): Promise<string> =>
      (await call(`/v1/jobs/${id}`, undefined, manager))[1]['state']
    const [status, { error }] = await call('/v1/runs/shared/cancel', {}, guest)
    expect([status, error.code, error.message]).toEqual([403, 'forbidden', expect.stringContaining('begun this run')])
    const tree = await call(`/v1/jobs/${own}/cancel?tree=true`, {}, beginner)
    expect(tree).toMatchObject([202, { id: own, canceled: 1, left: 1 }])
    const more = await submit({ run: 'shared' }, 'hold', beginner)
    const closed = await call('/v1/runs/shared/cancel', {}, beginner)
    expect(closed).toMatchObject([202, { state: 'canceled', canceled: 1, left: 1 }])
    for (const id of [own, more]) await expect.poll(() => stateOf(id), { timeout: 20_000 }).toBe('canceled')
    expect(await stateOf(theirs)).toBe('leased')
    for (const key of [beginner, guest])
      expect(await refused({ run: 'shared' }, 'x', key)).toEqual([409, 'run_canceled'])
    const ended = await call('/v1/runs/shared/cancel', {}, manager)
    expect(ended).toMatchObject([202, { canceled: 1, left: 0 }])
    await expect.poll(() => stateOf(theirs), { timeout: 20_000 }).toBe('canceled')
  })

  it.skipIf(isOut)('lists tell of sums; operators see all tenants’ runs, or one’s', async () => {
    const [{ key: a }, { key: b }] = await Promise.all([app.addKey('lists-a'), app.addKey('lists-b')])
    await call(`/v1/jobs/${await submit({ run: 'ended' }, 'quick', a)}?wait_ms=30000`, undefined, a)
    await call('/v1/runs', { id: 'none-yet' }, b)
    const holds = await submit({ run: 'runs' }, 'hold', a)
    const [, { data }] = await call('/v1/runs', undefined, a)
    const used = { jobs: 1, total_tokens: 310, usd: 0.31, steps: 1, is_partial: false }
    expect(data).toMatchObject([
      { id: 'runs', state: 'running', totals: { jobs: 1, states: { leased: 1 }, usd: 0, steps: 0 } },
      { id: 'ended', state: 'idle', totals: { ...used, states: { done: 1 } } },
    ])
    expect(data[0]).not.toHaveProperty('tenant')
    const operator = async (query: string): Promise<Said> =>
      (
        await fetch(`http://127.0.0.1:${app.adminPort}/admin/runs${query}`, {
          headers: { authorization: `Bearer ${ADMIN_KEY}` },
        })
      ).json() as Promise<Said>
    const named = ({ data }: Said): unknown[] => data.map((one: Said) => [one['tenant'], one['id'], one['state']])
    const all = [
      ['lists-a', 'runs', 'running'],
      ['lists-b', 'none-yet', 'idle'],
      ['lists-a', 'ended', 'idle'],
    ]
    const first = await operator('?limit=2')
    expect([named(first), first['has_more']]).toEqual([all.slice(0, 2), true])
    expect(named(await operator(`?limit=1&after=${first['next']}`))).toEqual(all.slice(2))
    expect(await operator('?tenant=lists-a')).toMatchObject({ has_more: false, next: null })
    expect(named(await operator('?tenant=lists-a'))).toEqual([all[0], all[2]])
    expect((await operator('?limit=101'))['error'].param).toBe('limit')
    // At a page of 100, a run's sums are of its last 100 jobs: one that is older, and runs, is still told
    await call('/v1/jobs', { jobs: Array.from({ length: 100 }, () => ({ request: asks('quick'), run: 'runs' })) }, a)
    const large = async (): Promise<Said> => (await call('/v1/runs?limit=100', undefined, a))[1]['data'][0]
    await expect.poll(async () => (await large())['totals'].states, { timeout: 30_000 }).toEqual({ done: 100 })
    expect(await large()).toMatchObject({ id: 'runs', state: 'running', totals: { jobs: 100, is_partial: true } })
    await call(`/v1/jobs/${holds}/cancel`, {}, a)
    await expect.poll(async () => (await large())['state'], { timeout: 20_000 }).toBe('idle')
  })

  it.skipIf(isOut)('a run that no path could name is refused, as one that is begun', async () => {
    for (const run of ['.', '..']) expect(await refused({ run })).toEqual([400, 'invalid_request'])
    expect(await refused({ run: '...' }, 'quick')).toEqual([202, undefined])
  })

  it.skipIf(isOut)('a parent that is not known yet is refused, not left out', async () => {
    const [status, { error }] = await call('/v1/jobs', { request: asks('quick'), parent: null })
    expect([status, error.param, error.message]).toEqual([
      400,
      'parent',
      expect.stringContaining('once it is accepted'),
    ])
  })

  it.skipIf(isOut)('depth is limited by the settings as well', async () => {
    const { key } = await app.addKey('flat')
    const root = await submit({ run: 'r' }, 'quick', key)
    const child = await submit({ parent: root }, 'quick', key)
    expect(await refused({ parent: child }, 'quick', key)).toEqual([429, 'run_budget_exceeded'])
  })

  it.skipIf(isOut)('pages of a large run have each job once, oldest first', async () => {
    const [, { data }] = await call('/v1/jobs', {
      jobs: Array.from({ length: 25 }, () => ({ request: asks('quick'), run: 'pages' })),
    })
    const seen: string[] = []
    for (let next: string | null = ''; next !== null && seen.length < 100; ) {
      const [, page]: [number, Said] = await call(`/v1/runs/pages?limit=10${next === '' ? '' : `&after=${next}`}`)
      seen.push(...page['jobs'].map(({ id }: Said) => id))
      next = page['next']
    }
    expect(seen).toEqual(data.map(({ id }: Said) => id))
  })
})
