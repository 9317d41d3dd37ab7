/** What the dashboard shows of one job: its texts, by policy and with the look recorded; its log, without text. */
import { afterEach, describe, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from './app.ts'

const CANARY = 'canary-7f3a'

describe('a job’s texts and records', () => {
  let app: TestApp
  afterEach(() => app.stop())

  const admin = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${app.adminPort}${path}`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    })
    return { status: response.status, body: (await response.json()) as Record<string, any> }
  }
  async function job(): Promise<string> {
    const { key } = await app.addKey('acme')
    const response = await fetch(`http://127.0.0.1:${app.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'demo',
        stream: true,
        messages: [{ role: 'user', content: `${CANARY} demo: tokens=7` }],
      }),
    })
    await response.text()
    return response.headers.get('sluice-job')!
  }
  const looks = async (): Promise<readonly Record<string, any>[]> =>
    (await admin('/admin/audit')).body['data'].filter((entry: Record<string, any>) => entry['action'] === 'text-viewed')

  it('tells the answer chunk by chunk, and goes on after a record', async () => {
    app = await startTestApp()
    const id = await job()
    const { status, body } = await admin(`/admin/jobs/${id}/text?part=answer`)
    expect(status).toBe(200)
    expect(body['chunks']).toHaveLength(7)
    expect(body).toMatchObject({ ended: true, isCut: false, attempts: [{ attempt: 1, mode: 'first', chunk: 0 }] })
    expect((await admin(`/admin/jobs/${id}/text?part=answer&after=${body['seq']}`)).body['chunks']).toEqual([])
  })

  it('records a look at a request, and one at an answer where texts are shown on demand', async () => {
    app = await startTestApp({}, { dashboard: { text: 'asked', kill: false } })
    const id = await job()
    const request = await admin(`/admin/jobs/${id}/text?part=request`)
    expect(request.body).toMatchObject({ endpoint: '/v1/chat/completions', isCut: false })
    expect(request.body['request']).toContain(CANARY)
    const { body } = await admin(`/admin/jobs/${id}/text?part=answer`)
    await admin(`/admin/jobs/${id}/text?part=answer&after=${body['seq']}`)
    const seen = await looks()
    expect(seen.map(({ target, tenant, after }) => [target, tenant, after['part']])).toEqual([
      [`job ${id}`, 'acme', 'answer'],
      [`job ${id}`, 'acme', 'request'],
    ])
    expect(JSON.stringify(seen)).not.toContain(CANARY)
  })

  it('records a look at an answer that is read from its middle, whoever has looked before', async () => {
    app = await startTestApp({}, { dashboard: { text: 'asked', kill: false } })
    const id = await job()
    const other = await job()
    for (const [of, after] of [
      [id, 1],
      [id, 2],
      [other, 2],
      [id, 0],
      [id, 2],
    ] as const)
      expect((await admin(`/admin/jobs/${of}/text?part=answer&after=${after}`)).body['chunks']).not.toEqual([])
    const seen = await looks()
    expect(seen.map(({ target }) => target)).toEqual([`job ${id}`, `job ${other}`, `job ${id}`])
  })

  it('shows none where the policy is never', async () => {
    app = await startTestApp({}, { dashboard: { text: 'never', kill: false } })
    const id = await job()
    for (const part of ['request', 'answer'])
      expect(await admin(`/admin/jobs/${id}/text?part=${part}`)).toMatchObject({
        status: 403,
        body: { error: { code: 'forbidden' } },
      })
    expect(await looks()).toEqual([])
  })

  it('tells what the log holds in groups, without text', async () => {
    app = await startTestApp()
    const id = await job()
    const { body } = await admin(`/admin/jobs/${id}/records`)
    const kinds = body['data'].map(({ type }: { type: string }) => type)
    expect(kinds).toEqual(expect.arrayContaining(['attempt', 'chunk', 'end']))
    const chunks = body['data'].find(({ type }: { type: string }) => type === 'chunk')
    expect(chunks.toSeq - chunks.fromSeq).toBeGreaterThanOrEqual(7)
    expect(chunks.note).toContain('finish_reason “stop”')
    expect(JSON.stringify(body)).not.toContain(CANARY)
    expect(body['cursor']).toMatch(/^\d+-\d+$/)
  })

  it('refuses what isn’t there', async () => {
    app = await startTestApp()
    expect((await admin('/admin/jobs/job_nope/text')).status).toBe(404)
    expect((await admin('/admin/jobs/job_nope/records')).status).toBe(404)
  })
})
