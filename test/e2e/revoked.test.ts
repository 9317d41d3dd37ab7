/** A revocation that stops jobs, in a process that dies before it has. */
import { expect, it } from 'vitest'
import { startServer } from './server.ts'

const CONFIG = `
models: [{ name: demo, provider: demo }]
workers: { concurrency: 2 }
durability: process
`

it('is finished by the next start: what ran is canceled, what waits goes on, the key is not held', async () => {
  const server = await startServer(CONFIG, { SLUICE_TEST_CRASH_AT: 'revocation-held:1' })
  const call = async (method: string, url: string, key: string, body?: object): Promise<Record<string, any>> => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    const answer = await fetch(url, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })
    return (await answer.json()) as Record<string, any>
  }
  const admin = (method: string, path: string, body?: object) =>
    call(method, `${server.adminUrl}${path}`, server.adminKey, body)
  const submit = async (key: string, content: string): Promise<string> =>
    (
      await call('POST', `${server.url}/v1/jobs`, key, {
        request: { model: 'demo', messages: [{ role: 'user', content }] },
      })
    )['id']
  const states = async (): Promise<Record<string, string>> =>
    Object.fromEntries((await admin('GET', '/admin/jobs'))['data'].map((job: any) => [job['id'], job['state']]))
  try {
    const { id, key } = await admin('POST', '/admin/keys', { tenant: 'acme' })
    const [ran, others] = [await submit(key, LONG), await submit(server.key, LONG)]
    await expect.poll(states).toEqual({ [ran]: 'leased', [others]: 'leased' })
    const waits = await submit(key, 'Hi. demo: tokens=2')
    await expect(admin('DELETE', `/admin/keys/${id}?running=cut`)).rejects.toThrow()
    await server.crash()
    await expect.poll(states).toEqual({ [ran]: 'canceled', [others]: 'leased', [waits]: 'done' })
    const keys = (await admin('GET', '/admin/keys'))['data'] as ReadonlyArray<Record<string, any>>
    expect(keys.find((one) => one['id'] === id)).toMatchObject({ disabled: null, revoked_at: expect.any(Number) })
  } finally {
    await server.stop()
  }
})

const LONG = 'Hi. demo: tokens=5000 delay=20 ttft=0'
