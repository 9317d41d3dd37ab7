/** `--processes`: several processes share the ports of a server, and answer as one. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../conformance/harness.ts'
import { DEEP } from '../depth.ts'
import { freePort } from '../free-port.ts'
import { NO_REDIS, RedisServer } from '../redis/server.ts'
import { ADMIN_KEY, call, KEY, startProcess } from './fleet.ts'
import { freshFolder, killAll, lines, type Options, removeFolders, serve } from './serve.ts'

const childrenOf = (pid: number): readonly number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe.skipIf(NO_REDIS || process.platform !== 'linux')('Redis: several processes on one port', () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await RedisServer.start({ config: { maxmemory: '1gb' } })
  })
  afterEach(killAll)
  afterAll(async () => {
    await redis.remove()
    removeFolders()
  })

  const start = async (more: Options = {}) => {
    // Its parent would choose some that others may take before its children do
    const ports = ['--port', String(await freePort()), '--admin-port', String(await freePort())]
    return startProcess(redis.url, 'all', { ...more, args: ['--processes', '2', ...ports, ...(more.args ?? [])] })
  }
  const stats = async (adminUrl: string): Promise<Record<string, number>> =>
    (await call(adminUrl, '/admin/stats', { key: ADMIN_KEY })).json() as Promise<Record<string, number>>
  const models = async (url: string): Promise<string> =>
    (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${KEY}`, connection: 'close' } })).text()
  const submit = async (url: string, prompt: string): Promise<string> => {
    const request = { model: 'demo', messages: [{ role: 'user', content: prompt }] }
    const response = await call(url, '/v1/jobs', { body: { request } })
    expect(response.status).toBe(202)
    return ((await response.json()) as { id: string }).id
  }

  it('are ready together, and answer as one; one that dies refuses nobody, and is followed', async () => {
    const file = join(freshFolder(), '..', 'several.yaml')
    const configured = (name: string) =>
      writeFileSync(file, `models: [{ name: demo, provider: demo }, { name: ${name}, provider: demo }]\n`)
    configured('before')
    const { child, url, adminUrl, out, err, ended } = await start({ args: ['--config', file] })
    expect(out().trim().split('\n')).toHaveLength(1)
    for (let n = 0; n < 4; n++) await models(url!)
    expect(await stats(adminUrl)).toMatchObject({ processes: 2, coordinating: 1 })
    // A look at the numbers asks the coordinator, and does not count that
    await eventually(async () => expect(await stats(adminUrl)).toMatchObject({ pending_commands: 0 }))

    configured('after')
    const reload = await call(adminUrl, '/admin/reload', { key: ADMIN_KEY, body: {} })
    expect(await reload.json()).toMatchObject({ models: ['demo', 'after'] })
    for (let n = 0; n < 6; n++) expect(await models(url!)).toContain('"after"')
    // Whichever of them coordinates was told
    const plan = { request: { model: 'after', messages: [{ role: 'user', content: 'Hi. demo: tokens=2' }] } }
    const { id } = (await (await call(url!, '/v1/jobs', { body: plan })).json()) as { id: string }
    expect(await (await call(url!, `/v1/jobs/${id}?wait_ms=20000`)).json()).toMatchObject({ state: 'done' })
    configured('last')
    child.kill('SIGHUP')
    await eventually(async () => {
      for (let n = 0; n < 6; n++) expect(await models(url!)).toContain('"last"')
    })

    const [victim] = childrenOf(child.pid!)
    process.kill(victim, 'SIGKILL')
    for (let n = 0; n < 20; n++) expect(await models(url!)).toContain('"last"')
    await eventually(async () => expect(await stats(adminUrl)).toMatchObject({ processes: 2 }))
    const told = lines(err()).filter(({ msg }) => msg === 'a process ended by itself: another one follows')
    expect(told).toEqual([
      expect.objectContaining({ process: 0, child: 1, pid: victim, signal: 'SIGKILL', again_in_ms: 200 }),
    ])

    child.kill('SIGTERM')
    expect(await ended).toBe(0)
  })

  it('each line of their log names its process; what is true of all is told by one', async () => {
    const env = { SLUICE_TYPO: '1' }
    const { child, url, err, ended } = await start({ env: { ...env, SLUICE_LOG_LEVEL: 'debug' } })
    for (let n = 0; n < 6; n++) await models(url!)
    const told = () => lines(err())
    const of = (n: number) => told().filter(({ process }) => process === n)
    // A fact, too, of whichever served it
    await eventually(() => expect(told().filter(({ type }) => type === 'request-ended').length).toBeGreaterThan(5))
    expect([of(1), of(2)].every((each) => each.some(({ type }) => type === 'request-ended'))).toBe(true)
    expect(told().filter(({ process }) => ![0, 1, 2].includes(process as number))).toEqual([])
    child.kill('SIGHUP')
    const reloads = () => told().filter(({ msg }) => msg === 'the configuration was reloaded')
    await eventually(() =>
      expect(
        reloads()
          .map(({ process }) => process)
          .sort(),
      ).toEqual([1, 2]),
    )
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    // Of the settings: at the start by the parent, at the reload by the first
    const warned = told().filter(({ msg }) => /SLUICE_TYPO/.test(String(msg)))
    expect(warned.map(({ process }) => process)).toEqual([0, 1])
  })

  it('advice about Redis is told once, by the first, and by the one that follows it', async () => {
    const bare = await RedisServer.start()
    const args = ['--processes', '3', '--port', String(await freePort()), '--admin-port', String(await freePort())]
    const { child, adminUrl, err, ended } = await startProcess(bare.url, 'all', { args })
    const advice = () => lines(err()).filter(({ detail }) => /maxmemory is 0/.test(String(detail)))
    await eventually(() => expect(advice().map(({ process }) => process)).toEqual([1]))
    const [victim] = childrenOf(child.pid!)
    process.kill(victim, 'SIGKILL')
    await eventually(() => expect(advice().map(({ process }) => process)).toEqual([1, 1]))
    // It gives its advice while it starts: a stop there is the subject of another test
    await eventually(async () => expect(await stats(adminUrl)).toMatchObject({ processes: 3 }))
    child.kill('SIGTERM')
    expect(await ended, err()).toBe(0)
    await bare.remove()
  })

  it('one that is killed while it starts is told, as it could tell nothing itself', async () => {
    const { child, err, ended } = serve({
      args: ['--processes', '2', '--redis-url', redis.url, '--admin-port', '0'],
      env: { SLUICE_ADMIN_KEY: ADMIN_KEY, SLUICE_KEY: KEY },
    })
    await eventually(() => expect(childrenOf(child.pid!)).toHaveLength(1))
    const [victim] = childrenOf(child.pid!)
    process.kill(victim, 'SIGKILL')
    expect(await ended).toBe(1)
    expect(lines(err())).toContainEqual(
      expect.objectContaining({ level: 'fatal', process: 0, child: 1, pid: victim, signal: 'SIGKILL' }),
    )
  })

  // Red where Node hands connections over in another way than src/cli/processes/hand-over.ts knows
  it('a connection that is on its way to a process that dies is served by another', async () => {
    const { child, url, ended, err } = await start()
    const [victim] = childrenOf(child.pid!)
    process.kill(victim, 'SIGSTOP')
    let served = 0
    const asked = Array.from({ length: 4 }, () =>
      models(url!).then((text) => {
        served++
        return text
      }),
    )
    await eventually(() => expect(served).toBe(3))
    await new Promise((passed) => setTimeout(passed, 300))
    expect(served).toBe(3) // one waits for the process that is stopped
    process.kill(victim, 'SIGKILL')
    for (const text of await Promise.all(asked)) expect(text).toContain('"demo"')
    expect(lines(err()).filter(({ msg }) => /in another way/.test(String(msg)))).toEqual([])
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
  })

  it.skipIf(!DEEP)(
    'where they share a socket, as on a Node that is not known, one that dies takes no connection along',
    async () => {
      const { child, url, adminUrl, ended } = await start({ env: { NODE_CLUSTER_SCHED_POLICY: 'none' } })
      const [victim] = childrenOf(child.pid!)
      process.kill(victim, 'SIGSTOP')
      for (let n = 0; n < 4; n++) expect(await models(url!)).toContain('"demo"')
      process.kill(victim, 'SIGKILL')
      for (let n = 0; n < 20; n++) expect(await models(url!)).toContain('"demo"')
      await eventually(async () => expect(await stats(adminUrl)).toMatchObject({ processes: 2 }))
      child.kill('SIGTERM')
      expect(await ended).toBe(0)
    },
  )

  it('a stop drains them all: what is served is served to its end', async () => {
    const { child, url, adminUrl, ended, err } = await start()
    const messages = [{ role: 'user', content: 'Hi. demo: tokens=400 delay=10' }]
    const stream = await call(url!, '/v1/chat/completions', { body: { model: 'demo', stream: true, messages } })
    await eventually(async () => expect(await stats(adminUrl)).toMatchObject({ leased: 1 }))
    child.kill('SIGTERM')
    await eventually(async () => {
      const response = await fetch(`${adminUrl}/readyz`)
      expect([response.status, await response.text()]).toEqual([503, expect.stringContaining('draining')])
    })
    // A connection that is kept may be of the one that has nothing to finish
    await eventually(async () =>
      expect((await fetch(`${adminUrl}/livez`, { headers: { connection: 'close' } })).status).toBe(200),
    )
    expect((await stream.text()).trimEnd().endsWith('data: [DONE]')).toBe(true)
    expect(await ended).toBe(0)
    const stopped = lines(err()).filter(({ msg }) => msg === 'stopped')
    expect(stopped.map(({ jobs_finished: finished }) => finished).sort()).toEqual([0, 1])
  })

  it.skipIf(!DEEP)('whose parent is killed stop in order', async () => {
    const { child, url, err } = await start({ env: { SLUICE_WORKERS_DRAIN_MS: '500' } })
    const children = childrenOf(child.pid!)
    expect(children).toHaveLength(2)
    const id = await submit(url!, 'Hi. demo: tokens=2000 delay=10')
    child.kill('SIGKILL')
    await eventually(() => expect(children.filter(isRunning)).toEqual([]))
    expect(lines(err()).filter(({ msg }) => msg === 'stopped')).toHaveLength(2)
    const next = await start()
    const cancel = await call(next.url!, `/v1/jobs/${id}/cancel`, { body: {} })
    expect(cancel.status).toBe(202)
    next.child.kill('SIGTERM')
    expect(await next.ended).toBe(0)
  })

  it('a stop that meets one which has only just been started again is an orderly one', async () => {
    const { child, ended } = await start()
    const before = childrenOf(child.pid!)
    process.kill(before[0], 'SIGKILL')
    // It is too young to hear of signals
    while (!childrenOf(child.pid!).some((pid) => !before.includes(pid)))
      await new Promise((next) => setTimeout(next, 2))
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
  })

  it('that can not start tell why once', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await new Promise((done) => other.once('listening', done))
    const { port } = other.address() as { port: number }
    const args = ['--processes', '3', '--redis-url', redis.url, '--admin-port', '0', '--port', String(port)]
    const { ended, err, out } = serve({ args, env: { SLUICE_ADMIN_KEY: ADMIN_KEY } })
    expect(await ended).toBe(5)
    expect(lines(err())).toEqual([expect.objectContaining({ level: 'fatal', process: 1, code: 'in_use' })])
    expect(out()).toBe('')
    other.close()
  })
})
