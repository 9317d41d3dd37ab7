/** `sluice serve` as a process: what signals do to it, and to what runs in it, at any moment of its life. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { DEEP, depth } from '../../test/depth.ts'
import { freshFolder, isAlive, killAll, lines, removeFolders, serve } from '../../test/e2e/serve.ts'

afterEach(killAll)
afterAll(removeFolders)

describe('signals', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGQUIT'] as const)('%s stops it in good order', async (signal) => {
    const server = serve()
    await server.ready()
    server.child.kill(signal)
    expect(await server.ended).toBe(0)
  })

  it.each([2, 10])('SIGTERM, %i times at once', async (times) => {
    const server = serve()
    await server.ready()
    for (let i = 0; i < times; i++) server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
  })

  it('SIGHUP and SIGUSR2 do not end it, at any moment', async () => {
    const server = serve()
    const at = setInterval(() => {
      if (server.err() !== '' || server.out() !== '') return clearInterval(at)
    }, 5)
    const { url } = await server.ready()
    for (let i = 0; i < 3; i++) {
      server.child.kill('SIGHUP')
      server.child.kill('SIGUSR2')
      await sleep(20)
    }
    expect(await isAlive(url)).toBe(true)
    server.child.kill('SIGTERM')
    server.child.kill('SIGHUP')
    expect(await server.ended).toBe(0)
  })

  it('a running job is handed back at the second SIGTERM, and goes on at the next start', async () => {
    const folder = freshFolder()
    const server = serve({ folder, args: ['--workers-drain-ms', '60s'] })
    const { url, key_file: keyFile } = await server.ready()
    const authorization = `Bearer ${readFileSync(keyFile!, 'utf8').trim()}`
    const request = { model: 'demo', messages: [{ role: 'user', content: 'Long. demo: tokens=5000 delay=60 ttft=0' }] }
    const headers = { authorization, 'content-type': 'application/json' }
    const made = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify({ request }) })
    const { id } = (await made.json()) as { id: string }
    const leased = async (at: string): Promise<number> => {
      for (;;) {
        const response = await fetch(`${at}/v1/jobs/${id}`, { headers })
        const { state, attempts } = (await response.json()) as { state: string; attempts: number }
        if (state === 'leased') return attempts
        await sleep(20)
      }
    }
    expect(await leased(url)).toBe(1)
    server.child.kill('SIGTERM')
    while (!server.err().includes('stopping')) await sleep(5)
    await sleep(1_200) // sooner, and it would be the same signal, sent twice
    expect(server.child.exitCode).toBe(null)
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)
    expect(lines(server.err()).at(-1)).toMatchObject({ msg: 'stopped', jobs_finished: 0, jobs_handed_back: 1 })
    const again = serve({ folder })
    const { url: next } = await again.ready()
    expect(await leased(next)).toBe(2)
  })

  it('a stop that SIGKILL cuts short is no crash of what ran, however often', async () => {
    const folder = freshFolder()
    const env = { SLUICE_KEY: 'a-key-of-the-tests-4711', SLUICE_QUEUE_MAX_CRASHES: '1' }
    const headers = { authorization: `Bearer ${env.SLUICE_KEY}`, 'content-type': 'application/json' }
    const request = { model: 'demo', messages: [{ role: 'user', content: 'demo: tokens=5000 delay=40 ttft=0' }] }
    let id = ''
    const state = async (url: string): Promise<{ state: string; attempts: number }> =>
      (await (await fetch(`${url}/v1/jobs/${id}`, { headers })).json()) as { state: string; attempts: number }
    const lives = depth(5, 2)
    for (let life = 1; life <= lives; life++) {
      const server = serve({ folder, env, args: ['--workers-drain-ms', '60s'] })
      const { url } = await server.ready()
      if (id === '') {
        const made = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify({ request }) })
        id = ((await made.json()) as { id: string }).id
      }
      while ((await state(url)).state !== 'leased') await sleep(20)
      server.child.kill('SIGTERM')
      // The line is written by the handler: the stop has begun
      while (!server.err().includes('stopping')) await sleep(5)
      await sleep(100)
      server.child.kill('SIGKILL')
      await server.ended
    }
    const server = serve({ folder, env })
    const { url } = await server.ready()
    await vi.waitFor(async () => expect((await state(url)).state).not.toBe('queued'), { timeout: 60_000 })
    expect(await state(url)).toMatchObject({ state: 'leased', attempts: lives + 1 })
  })

  /** Our handlers are there: Node has none for SIGQUIT (bit 2 of SigCgt). Before that the system ends a process. */
  const handlesSignals = (pid: string | number): boolean =>
    /SigCgt:\t[0-9a-f]*[4-7c-f]\n/.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  const isLinux = process.platform === 'linux'

  it.skipIf(!isLinux)('SIGTERM at any moment of the start ends it, and not as a failure', async () => {
    for (const ms of DEEP ? [0, 20, 50, 100, 150, 200, 300, 450] : [0, 50, 200]) {
      const server = serve()
      while (!handlesSignals(server.child.pid!)) await sleep(1)
      await sleep(ms)
      server.child.kill('SIGTERM')
      expect(await server.ended, `${ms} ms`).toBe(0)
    }
  })

  const canUnshare = ((): boolean => {
    try {
      execFileSync('unshare', ['-Urpf', '--mount-proc', '--kill-child', 'true'], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })()
  it.skipIf(!canUnshare)('as the first process of a container: SIGTERM while it starts, and once it runs', async () => {
    for (const after of ['start', 'ready']) {
      const server = serve({ prefix: ['unshare', '-Urpf', '--mount-proc', '--kill-child'] })
      const { pid: parent } = server.child
      const child = (): string => readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim()
      while (child() === '' || !handlesSignals(child())) await sleep(1)
      if (after === 'ready') await server.ready()
      const pid = child()
      process.kill(Number(pid), 'SIGTERM')
      expect(await server.ended, after).toBe(0)
    }
  })
})
