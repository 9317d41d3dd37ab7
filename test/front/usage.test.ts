/** Usage and cost, as the operator, a tenant and a page's session read them: over HTTP, and with `sluice usage`. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../src/cli/run.ts'
import { usageTable } from '../../src/cli/usage.ts'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'
import { userOf } from './two-users.ts'

const USAGE = {
  prompt_tokens: 19,
  completion_tokens: 10,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 3 },
}
/** 15 + 4 cached + 10, in nano-dollars. */
const COST = 15 * 250 + 4 * 25 + 10 * 2_000
const FORMULA = '=HYPERLINK("http://x.example")'

let app: TestApp
let upstream: Server
let keyId: string
let acme: { id: string; key: string }

beforeAll(async () => {
  upstream = createServer((req, res) => {
    let body = ''
    req.on('data', (part: Buffer) => (body += part.toString()))
    req.on('end', () => {
      const reports = !body.includes('"quiet"')
      const choices = [{ index: 0, message: { role: 'assistant', content: 'Two.' }, finish_reason: 'stop' }]
      res
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify({ object: 'chat.completion', choices, ...(reports && { usage: USAGE }) }))
    })
  })
  await new Promise<void>((done) => upstream.listen(0, '127.0.0.1', done))
  const own = {
    provider: 'openai-compatible',
    base_url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
  }
  const price = { input: 0.25, cached_input: 0.025, output: 2 }
  app = await startTestApp(
    {},
    {
      models: [
        { name: 'priced', ...own, price },
        { name: 'quiet', ...own, model: 'quiet', price },
        { name: 'unpriced', provider: 'openai', base_url: own.base_url, model: 'no-list-has-it' },
      ],
    },
  )
  acme = await app.addKey('acme')
  const listed = await fetch(`http://127.0.0.1:${app.adminPort}/admin/keys`, { headers: operator })
  keyId = ((await listed.json()) as any).data.find(({ tenant }: { tenant: string }) => tenant === 'default').id
  await ask(app.key, { model: 'priced', user: 'ann' })
  await ask(app.key, { model: 'priced', user: 'bob' })
  await ask(app.key, { model: 'quiet' })
  await ask(acme.key, { model: 'priced', user: FORMULA })
  await ask(acme.key, { model: 'unpriced', user: 'constructor' })
})
afterAll(async () => {
  await app?.stop()
  upstream?.close()
})

const operator = { authorization: `Bearer ${ADMIN_KEY}` }

async function ask(key: string, body: object): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'Which?' }], ...body }),
  })
  expect([response.status, await response.text()]).toEqual([200, expect.stringContaining('Two.')])
}

async function get(path: string, headers: Record<string, string> = operator): Promise<[number, any]> {
  const port = path.startsWith('/admin') ? app.adminPort : app.port
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
  return [response.status, await response.json()]
}
async function text(path: string, headers: Record<string, string> = {}): Promise<[string | null, string]> {
  const response = await fetch(`http://127.0.0.1:${app.adminPort}${path}`, { headers: { ...operator, ...headers } })
  return [response.headers.get('content-type'), await response.text()]
}
const withKey = (key: string) => ({ authorization: `Bearer ${key}` })
const today = (): string => new Date().toISOString().slice(0, 10)
const exact = { prompt_tokens: 19, cached_tokens: 4, completion_tokens: 10, reasoning_tokens: 3 }
const refusal = (code: string, param: string | null = null) => ({ error: expect.objectContaining({ code, param }) })

describe('GET /admin/usage', () => {
  it('is a total, of the last 30 days', async () => {
    const [status, answer] = await get('/admin/usage')
    expect(status).toBe(200)
    const { total } = answer
    expect(answer).toEqual({
      object: 'usage',
      from: expect.any(String),
      to: today(),
      group_by: [],
      total,
      data: [total],
    })
    expect(total).toMatchObject({ attempts: 5, estimated: 1, unpriced: 1, cached_tokens: 16, reasoning_tokens: 12 })
    expect(Date.parse(answer.to) - Date.parse(answer.from)).toBe(29 * 86_400_000)
  })

  it('is told apart as asked, and money is exact', async () => {
    const [, { data }] = await get('/admin/usage?group_by=tenant,user,model&model=priced')
    const money = {
      attempts: 1,
      repeats: 0,
      estimated: 0,
      unpriced: 0,
      ...exact,
      dollars: '0.000023850',
      nano_dollars: COST,
    }
    expect(data).toEqual([
      { tenant: 'acme', user: FORMULA, model: 'priced', ...money },
      { tenant: 'default', user: 'ann', model: 'priced', ...money },
      { tenant: 'default', user: 'bob', model: 'priced', ...money },
    ])
  })

  it('counts what has no price, and estimates what was not reported', async () => {
    const [, { data }] = await get('/admin/usage?group_by=model,day')
    expect(data.map(({ model, day }: any) => [model, day])).toEqual([
      ['priced', today()],
      ['quiet', today()],
      ['unpriced', today()],
    ])
    expect(data[1]).toMatchObject({ estimated: 1, unpriced: 0, completion_tokens: 1 })
    expect(data[1].nano_dollars).toBe(250 * data[1].prompt_tokens + 2_000)
    expect(data[2]).toMatchObject({ estimated: 0, unpriced: 1, ...exact, dollars: '0.000000000', nano_dollars: 0 })
  })

  it.each<[string, number]>([
    ['tenant=acme', 2],
    ['user=ann', 1],
    ['user=constructor', 1],
    ['user=toString', 0],
    ['model=quiet', 1],
    ['from=2000-01-01&to=2000-12-31', 0],
    ['from=2000-01-01', 5],
  ])('%s: %i', async (query, attempts) => {
    expect((await get(`/admin/usage?${query}`))[1].total.attempts).toBe(attempts)
  })

  it('by key', async () => {
    expect((await get(`/admin/usage?key=${keyId}`))[1].total.attempts).toBe(3)
    expect((await get('/admin/usage?group_by=key'))[1].data.map(({ key }: any) => key).sort()).toEqual(
      [keyId, acme.id].sort(),
    )
  })

  it.each([
    ['from=2026-13-01', 'from'],
    ['from=2026-02-30', 'from'],
    ['to=yesterday', 'to'],
    ['from=2026-02-02&to=2026-02-01', 'from'],
    ['group_by=deployment', 'group_by'],
    ['group_by=constructor', 'group_by'],
    ['format=xml', 'format'],
    ['tenants=acme', 'tenants'],
    ['tenant=', 'tenant'],
    ['user=', 'user'],
    ['key=', 'key'],
    ['model=', 'model'],
  ])('%s is refused', async (query, param) => {
    expect(await get(`/admin/usage?${query}`)).toEqual([400, refusal('invalid_request', param)])
  })

  it('needs the admin key, on the admin listener', async () => {
    for (const path of ['/admin/usage', '/admin/usage/records'])
      expect((await get(path, withKey(app.key)))[0]).toBe(403)
    const other = await fetch(`http://127.0.0.1:${app.port}/admin/usage`, { headers: operator })
    expect(other.status).toBe(404)
    await other.body?.cancel()
  })

  it.each<[string, Record<string, string>]>([
    ['&format=csv', {}],
    ['', { accept: 'text/csv' }],
  ])('as CSV: %s', async (query, headers) => {
    const [type, csv] = await text(`/admin/usage?group_by=tenant,user&model=priced${query}`, headers)
    expect(type).toBe('text/csv; charset=utf-8')
    const counts = `1,0,0,0,19,4,10,3,0.000023850,${COST}`
    expect(csv.split('\r\n')).toEqual([
      'tenant,user,attempts,repeats,estimated,unpriced,prompt_tokens,cached_tokens,completion_tokens,' +
        'reasoning_tokens,dollars,nano_dollars',
      `acme,"'=HYPERLINK(""http://x.example"")",${counts}`,
      `default,ann,${counts}`,
      `default,bob,${counts}`,
      '',
    ])
  })
})

describe('GET /admin/usage/records', () => {
  it('is page after page what was booked, oldest first', async () => {
    const records: any[] = []
    for (let after = ''; ; ) {
      const [status, { data, has_more, next }] = await get(`/admin/usage/records?limit=2${after}`)
      expect([status, has_more]).toEqual([200, next !== null])
      records.push(...data)
      if (next === null) break
      after = `&after=${encodeURIComponent(next)}`
    }
    expect(records.map(({ tenant, user, model }) => [tenant, user, model])).toEqual([
      ['default', 'ann', 'priced'],
      ['default', 'bob', 'priced'],
      ['default', null, 'quiet'],
      ['acme', FORMULA, 'priced'],
      ['acme', 'constructor', 'unpriced'],
    ])
    expect(records[0]).toEqual({
      object: 'usage.record',
      created_at: expect.any(Number),
      job: expect.stringMatching(/^job_/),
      attempt: 1,
      tenant: 'default',
      key: keyId,
      user: 'ann',
      run: null,
      kind: 'chat',
      model: 'priced',
      deployment: expect.stringMatching(/^priced@/),
      source: null,
      end: 'done',
      ...exact,
      cache_write_tokens: 0,
      audio_prompt_tokens: 0,
      audio_completion_tokens: 0,
      estimated: false,
      dollars: '0.000023850',
      nano_dollars: COST,
      price_version: 'settings',
      hedge: false,
    })
    expect(records[4]).toMatchObject({ dollars: null, nano_dollars: null, price_version: null })
    expect(records[2]).toMatchObject({ estimated: true })
  })

  it('is filtered', async () => {
    const [, { data }] = await get('/admin/usage/records?tenant=acme&model=priced')
    expect(data).toHaveLength(1)
  })

  it('as CSV is whole, and no formula', async () => {
    const [type, csv] = await text('/admin/usage/records?format=csv')
    expect(type).toBe('text/csv; charset=utf-8')
    const lines = csv.split('\r\n')
    expect(lines).toHaveLength(7)
    expect(lines[0]).toMatch(/^time,job,attempt,tenant,key,user,run,/)
    expect(lines[4]).toContain(`,acme,${acme.id},"'=HYPERLINK(""http://x.example"")",,chat,priced,`)
    expect((await text('/admin/usage/records?format=csv&limit=2'))[1].split('\r\n')).toHaveLength(4)
  })

  it.each(['', '&format=csv'])('refuses a cursor that is none%s', async (format) => {
    expect(await get(`/admin/usage/records?after=x%20y${format}`)).toEqual([400, refusal('cursor_invalid')])
  })
})

describe('GET /v1/usage', () => {
  it("is the key's tenant's own", async () => {
    const [status, { total, data }] = await get('/v1/usage?group_by=user,model', withKey(acme.key))
    expect([status, total.attempts]).toEqual([200, 2])
    expect(data.map(({ user, model }: any) => [user, model])).toEqual([
      [FORMULA, 'priced'],
      ['constructor', 'unpriced'],
    ])
    expect((await get(`/v1/usage?key=${keyId}`, withKey(acme.key)))[1].total.attempts).toBe(0)
  })

  it.each([
    ['tenant=default', 'tenant'],
    ['group_by=tenant', 'group_by'],
    ['user=', 'user'],
  ])('tells nothing of others: %s', async (query, param) => {
    expect(await get(`/v1/usage?${query}`, withKey(acme.key))).toEqual([400, refusal('invalid_request', param)])
  })

  it("of a session is its own user's (T1)", async () => {
    const ann = withKey((await userOf(app.port, app.key, 'ann')).token)
    const [, { total, data }] = await get('/v1/usage?group_by=day,model', ann)
    expect(total).toMatchObject({ attempts: 1, nano_dollars: COST })
    expect(data).toHaveLength(1)
    for (const query of ['user=bob', `key=${keyId}`])
      expect(await get(`/v1/usage?${query}`, ann)).toEqual([403, refusal('forbidden')])
    for (const by of ['user', 'key', 'tenant'])
      expect(await get(`/v1/usage?group_by=${by}`, ann)).toEqual([400, refusal('invalid_request', 'group_by')])
  })

  it('is not for a session of nobody', async () => {
    const nobody = await userOf(app.port, app.key, null)
    expect(await get('/v1/usage', withKey(nobody.token))).toEqual([403, refusal('forbidden')])
  })

  it('needs a key', async () => {
    expect(await get('/v1/usage', {})).toEqual([401, refusal('missing_api_key')])
  })
})

describe('sluice usage', () => {
  async function sluice(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    let [out, err] = ['', '']
    const before = process.env['SLUICE_ADMIN_KEY']
    process.env['SLUICE_ADMIN_KEY'] = ADMIN_KEY
    try {
      const code = await run(['usage', '--admin-url', `http://127.0.0.1:${app.adminPort}`, ...args], {
        print: (line) => (out += `${line}\n`),
        write: (text) => (out += text),
        note: (line) => (err += `${line}\n`),
      })
      return { code, out, err }
    } finally {
      if (before === undefined) delete process.env['SLUICE_ADMIN_KEY']
      else process.env['SLUICE_ADMIN_KEY'] = before
    }
  }

  it('prints a table with its total', async () => {
    const { code, out, err } = await sluice('--by', 'tenant,user', '--model', 'priced')
    expect([code, err]).toEqual([0, ''])
    expect(out.split('\n').slice(2)).toEqual([
      `TENANT   USER                            CALLS  REPEATS  PROMPT  CACHED  COMPLETION  REASONING      DOLLARS`,
      `acme     =HYPERLINK("http://x.example")      1        0      19       4          10          3  0.000023850`,
      `default  ann                                 1        0      19       4          10          3  0.000023850`,
      `default  bob                                 1        0      19       4          10          3  0.000023850`,
      `TOTAL                                        3        0      57      12          30          9  0.000071550`,
      '',
    ])
  })

  it('says what is estimated, and what has no price', async () => {
    const { err } = await sluice()
    expect(err).toMatch(/did not report the tokens of 1: these are estimated.\n1 calls have no price/)
  })

  it('as CSV, as JSON, and the records as both', async () => {
    expect((await sluice('--csv', '--by', 'model')).out).toBe((await text('/admin/usage?group_by=model&format=csv'))[1])
    expect(JSON.parse((await sluice('--json', '--tenant', 'acme')).out)).toMatchObject({ total: { attempts: 2 } })
    expect((await sluice('--records', '--csv')).out).toBe((await text('/admin/usage/records?format=csv'))[1])
    const { out } = await sluice('--records', '--json')
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).attempt),
    ).toEqual([1, 1, 1, 1, 1])
  })

  it.each([
    [['--from', 'yesterday'], '--from: "yesterday" is not a day (UTC), such as 2026-'],
    [['--to', '2026-02-30'], '--to: "2026-02-30" is not a day'],
    [['--from', '2026-02-02', '--to', '2026-02-01'], '--from must not be later than --to'],
    [['--by', 'day,users'], '--by: "users" is not one of day, tenant, user, key, model. Did you mean "user"?'],
    [['--by', 'month'], '--by: "month" is not one of day, '],
    [['--csv', '--json'], '--csv and --json'],
    [['--records', '--by', 'day'], 'leave out --by'],
  ])('a mistake is named: %j', async (args, message) => {
    expect(await sluice(...args)).toMatchObject({ code: 2, err: expect.stringContaining(message) })
  })

  it('of which there is none is told as such: the name may be mistyped', async () => {
    const { code, err } = await sluice('--tenant', 'acmee')
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(/^There is no usage of tenant "acmee" in these days\. .*tenants list" shows the tenants/),
    ])
    expect((await sluice('--from', '2020-01-01', '--to', '2020-01-02')).err).toBe('There is no usage in these days.\n')
  })

  it('lets no name move the cursor of a terminal', () => {
    const total = { ...exact, attempts: 1, repeats: 0, estimated: 0, unpriced: 0, dollars: '0.000000000' }
    const user = 'a\u001b[2J\n\u202eb'
    const lines = usageTable({ from: 'a', to: 'b', group_by: ['user'], total, data: [{ user, ...total }] })
    expect(lines[3]).toMatch(/^a·\[2J··b /)
  })
})
