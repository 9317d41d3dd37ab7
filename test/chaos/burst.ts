/**
 * A burst on a provider with few slots: through Sluice all wait in line and are done; straight at the provider most are
 * refused.
 */

import { freePort } from '../free-port.ts'
import { Http } from './client.ts'
import { KEY, SluiceProcess, startUpstream } from './server.ts'

export interface BurstReport {
  readonly through: {
    readonly refused: number
    readonly failed: number
    readonly done: number
    readonly seconds: number
  }
  readonly straight: { readonly refused: number; readonly done: number }
  readonly providerRefused: number
}

export async function runBurst(jobs: number, slots: number): Promise<BurstReport> {
  const upstream = await startUpstream(slots)
  const server = new SluiceProcess(
    [await freePort(), await freePort()],
    `models:\n  - { name: "mock-*", provider: openai-compatible, base_url: "${upstream.url}/v1", limits: { ` +
      `concurrent: ${slots} } }\nlog: { level: silent }\n`,
  )
  if (!(await server.start())) throw new Error(server.printed)
  const http = new Http(server.url, KEY)
  const mock = new Http(upstream.url, '')
  const body = { model: 'mock-n10-d10-f20', messages: [{ role: 'user', content: 'x' }] }
  const startedAt = performance.now()
  const submitted = await Promise.all(
    Array.from({ length: jobs }, () => http.call('POST', '/v1/jobs', { request: body })),
  )
  const refused = submitted.filter((s) => s.status !== 202).length
  const states = await Promise.all(
    submitted
      .filter((s) => s.status === 202)
      .map((s) => http.call('GET', `/v1/jobs/${s.json.id as string}?wait_ms=60000`)),
  )
  const done = states.filter((s) => s.json.state === 'done').length
  const seconds = (performance.now() - startedAt) / 1000
  const providerRefused = ((await mock.call('GET', '/stats')).json as { refused: number }).refused
  const straight = await Promise.all(
    Array.from({ length: jobs }, () => mock.call('POST', '/v1/chat/completions', body)),
  )
  const straightDone = straight.filter((s) => s.status === 200).length
  http.close()
  mock.close()
  await server.remove()
  upstream.stop()
  return {
    through: { refused, failed: states.length - done, done, seconds },
    straight: { refused: jobs - straightDone, done: straightDone },
    providerRefused,
  }
}
