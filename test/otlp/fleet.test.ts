/** A gateway and workers in processes of their own make one trace, also where a worker dies amid an answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { spanIdOf } from '../../src/core/trace.ts'
import { type FleetProcess, KEY, startProcess } from '../e2e/fleet.ts'
import { killAll, removeFolders } from '../e2e/serve.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { type ReceivedSpan, type Receiver, startReceiver } from './receiver.ts'

describe.skipIf(NO_REDIS)('Redis: the trace of a fleet', () => {
  let receiver: Receiver
  let redis: RedisServer
  let gateway: FleetProcess
  let worker: FleetProcess
  beforeAll(async () => {
    receiver = await startReceiver()
    redis = await RedisServer.start()
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, SLUICE_TELEMETRY_OTLP_INTERVAL: '100ms' }
    const start = (role: 'gateway' | 'worker') => startProcess(redis.url, role, { env })
    ;[gateway, worker] = await Promise.all([start('gateway'), start('worker')])
  })
  afterAll(async () => {
    for (const { child } of [gateway, worker]) child.kill('SIGTERM')
    await Promise.all([gateway.ended, worker.ended])
    await redis.remove()
    await receiver.close()
    killAll()
    removeFolders()
  })

  let n = 0
  const newTrace = (): string => `00-${(++n).toString(16).padStart(32, 'e')}-00f067aa0ba902b7-01`
  const ofTrace = (trace: string): ReceivedSpan[] =>
    receiver.spans.filter(({ traceId }) => traceId === trace.slice(3, 35))
  const ask = (trace: string, prompt: string): Promise<Response> =>
    fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json', traceparent: trace },
      body: JSON.stringify({ model: 'demo', stream: true, messages: [{ role: 'user', content: prompt }] }),
    })

  it('is one tree, each span told by the process that knows it', async () => {
    const trace = newTrace()
    await (await ask(trace, 'Hi. demo: tokens=5 delay=5')).text()
    const names = (): string[] =>
      ofTrace(trace)
        .map(({ name }) => name)
        .sort()
    const all = ['POST /v1/chat/completions', 'admission', 'chat demo', 'delivery', 'queue']
    await expect.poll(names).toEqual(all)
    const [server] = ofTrace(trace).filter(({ kind }) => kind === 'SERVER')
    expect(server.parent).toBe(trace.slice(36, 52))
    for (const span of ofTrace(trace)) if (span !== server) expect(span.parent, span.name).toBe(server.id)
    const [call] = ofTrace(trace).filter(({ kind }) => kind === 'CLIENT')
    expect(call.id).toBe(spanIdOf(`${server.attributes['sluice.job.id']}.1`))
    // By two processes
    expect(call.resource['service.instance.id']).not.toBe(server.resource['service.instance.id'])
    expect(receiver.faults).toEqual([])
  })

  it('each process sends its own metrics', async () => {
    const instances = (): number => new Set(receiver.points.map(({ resource }) => resource['service.instance.id'])).size
    await expect.poll(instances).toBe(2)
  })
})
