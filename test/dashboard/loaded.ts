/** A Sluice that has work of all kinds: tenants, models, answers, failures, jobs that wait, run and were canceled. */
import { ADMIN_KEY, startTestApp, type TestApp } from '../front/app.ts'

const MODELS = [
  {
    name: 'chat',
    provider: 'demo',
    deployment: 'vllm-a',
    limits: { concurrent: 24, requests_per_minute: 6_000, tokens_per_minute: 2_000_000 },
    demo: { ttft_ms: 120, token_ms: 9 },
    price: { input: 0.4, output: 1.6 },
  },
  {
    name: 'chat',
    provider: 'demo',
    deployment: 'llama-3.3-70b.gpu-2.eu',
    limits: { concurrent: 24 },
    demo: { ttft_ms: 160, token_ms: 17 },
    price: { input: 0.4, output: 1.6 },
  },
  {
    name: 'review',
    provider: 'demo',
    deployment: 'openai-eu',
    limits: { concurrent: 6 },
    demo: { ttft_ms: 300, token_ms: 6 },
    price: { input: 5, output: 20 },
  },
  { name: 'demo', provider: 'demo' },
]

export interface Loaded {
  readonly app: TestApp
  readonly keys: Readonly<Record<string, string>>
  /** By what became of it. */
  readonly jobs: Readonly<Record<'done' | 'failed' | 'canceled' | 'running' | 'waiting' | 'cut', string>>
  /** Sends so many more, in the tenants' proportions, and waits until they are accepted. */
  send(jobs: number): Promise<void>
  stop(): Promise<void>
}

/** Jobs of the seed that are still there when all else is done. */
const LONG = 'demo: tokens=4000 delay=200'

export async function startLoaded(more: Readonly<Record<string, unknown>> = {}): Promise<Loaded> {
  const app = await startTestApp(
    {},
    {
      models: MODELS,
      tenants: [
        { name: 'tutor', weight: 3, limits: { tokens_per_minute: 1_200_000, dollars_per_month: 500 } },
        { name: 'docs-batch', limits: { concurrent: 2 } },
      ],
      dashboard: { text: 'shown', kill: true },
      ...more,
    },
  )
  const base = `http://127.0.0.1:${app.port}`
  const names = ['acme', 'docs-batch', 'tutor', 'review-bot', 'support'] as const
  const keys: Record<string, string> = {}
  for (const tenant of names) keys[tenant] = (await app.addKey(tenant, { name: 'web' })).key
  await app.addKey('acme', { name: 'batch', models: ['chat'], expires_in_ms: 86_400_000 * 20 })
  await call('PATCH', '/admin/tenants/acme', {
    limits: { tokens_per_minute: 400_000, concurrent: 12, dollars_per_month: 900 },
  })

  async function call(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${app.adminPort}${path}`, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(await response.text())
    return response.json()
  }
  const headersOf = (tenant: string): Record<string, string> => ({
    authorization: `Bearer ${keys[tenant]}`,
    'content-type': 'application/json',
  })
  async function submit(tenant: string, model: string, content: string): Promise<string> {
    const response = await fetch(`${base}/v1/jobs`, {
      method: 'POST',
      headers: headersOf(tenant),
      body: JSON.stringify({ request: { model, messages: [{ role: 'user', content }] } }),
    })
    if (response.status !== 202) throw new Error(await response.text())
    return ((await response.json()) as { id: string }).id
  }
  /** Read to its end, or up to so many bytes and no further. */
  async function read(tenant: string, model: string, content: string, bytes = Number.POSITIVE_INFINITY): Promise<void> {
    const leaving = new AbortController()
    const response = await fetch(`${base}/v1/chat/completions`, {
      method: 'POST',
      headers: headersOf(tenant),
      body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content }] }),
      signal: leaving.signal,
    })
    let seen = 0
    for await (const chunk of response.body ?? []) {
      seen += (chunk as Uint8Array).length
      if (seen >= bytes) break
    }
    leaving.abort()
  }
  /** Its id, when it is so far. */
  async function until(state: string, tenant: string, job: Promise<string> | string): Promise<string> {
    const id = await job
    for (;;) {
      const response = await fetch(`${base}/v1/jobs/${id}`, { headers: headersOf(tenant) })
      if (((await response.json()) as { state: string }).state === state) return id
      await new Promise((done) => setTimeout(done, 50))
    }
  }

  const SHARES = [
    ['acme', 'chat', 'Which clauses of this contract can cost us more than the fees we earn? demo: tokens=60'],
    ['tutor', 'chat', 'How fast does a value change near a point? demo: tokens=40'],
    ['tutor', 'chat', 'And what is an integral, then? demo: tokens=30'],
    ['review-bot', 'review', `Review this change. ${'+ const a = b '.repeat(40)} demo: tokens=50`],
    ['support', 'chat', 'Where is my parcel? demo: tokens=25'],
  ] as const
  async function send(jobs: number): Promise<void> {
    const all = Array.from({ length: jobs }, (_, n) => {
      const [tenant, model, text] = SHARES[n % SHARES.length]
      return n % 3 === 0 ? read(tenant, model, text) : submit(tenant, model, text)
    })
    await Promise.all(all)
  }

  await send(60)
  await call('PATCH', '/admin/tenants/review-bot', { limits: { dollars_per_month: 0.01 }, label: 'the review robot' })
  await read('review-bot', 'review', 'One more, over its budget.')
  const done = await until('done', 'acme', submit('acme', 'chat', 'Tell me of rivers. demo: tokens=80 cut=30 faults=1'))
  const failed = await until('failed', 'support', submit('support', 'chat', 'Fail. demo: fail=400'))
  await read('acme', 'chat', 'I am gone. demo: tokens=60 delay=20', 2_000)
  const canceled = await submit('tutor', 'chat', `Never mind. ${LONG}`)
  await call('POST', `/admin/jobs/${canceled}/cancel`)
  await until('canceled', 'tutor', canceled)
  const documents = await Promise.all(
    Array.from({ length: 44 }, (_, n) => submit('docs-batch', 'chat', `${'A long page. '.repeat(300)} ${n}. ${LONG}`)),
  )
  const running = await until('leased', 'docs-batch', documents[0])
  const cut = await cutOff()
  return {
    app,
    keys,
    jobs: { done, failed, canceled, running, waiting: documents.at(-1) as string, cut },
    send,
    stop: () => app.stop(),
  }

  /** A reader that was away for a second, and came back where it was. */
  async function cutOff(): Promise<string> {
    const id = await submit('acme', 'chat', 'Go on without me. demo: tokens=120 delay=15')
    let cursor = ''
    const follow = async (chunks: number): Promise<void> => {
      const leaving = new AbortController()
      const response = await fetch(`${base}/v1/jobs/${id}/events`, {
        headers: { ...headersOf('acme'), ...(cursor !== '' && { 'last-event-id': cursor }) },
        signal: leaving.signal,
      })
      let seen = 0
      for await (const chunk of response.body ?? []) {
        for (const [, eventId] of Buffer.from(chunk as Uint8Array)
          .toString()
          .matchAll(/^id: ?(.+)$/gm)) {
          cursor = eventId
          seen++
        }
        if (seen >= chunks) break
      }
      leaving.abort()
    }
    await follow(30)
    await new Promise((done) => setTimeout(done, 600))
    await follow(Number.POSITIVE_INFINITY)
    return until('done', 'acme', id)
  }
}
