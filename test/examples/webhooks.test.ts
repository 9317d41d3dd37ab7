/** The receivers of docs/webhooks.md, as they stand there, take what Sluice sends, once, and nothing else. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemIds } from '../../src/core/ids.ts'
import { newSecret, signed } from '../../src/webhooks/signature.ts'
import { freePort } from '../free-port.ts'

const ROOT = join(import.meta.dirname, '../..')
const text = readFileSync(join(ROOT, 'docs/webhooks.md'), 'utf8')
const blockOf = (language: string): string => text.split(`\`\`\`${language}\n`)[1].split('\n```')[0]
const hasPython = spawnSync('python3', ['--version']).status === 0

const RECEIVERS = [
  { name: 'TypeScript', file: 'receiver.mts', code: blockOf('ts'), run: process.execPath, there: true },
  { name: 'Python', file: 'receiver.py', code: blockOf('python'), run: 'python3', there: hasPython },
]
const SECRET = newSecret(systemIds())
const EVENT = { id: 'evt_1', object: 'event', created_at: 1, type: 'job.done', data: { id: 'job_1' } }

describe.each(RECEIVERS.filter(({ there }) => there))('$name', ({ file, code, run }) => {
  let dir: string
  let child: ChildProcess
  let url: string
  let printed = ''
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sluice-webhooks-'))
    symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
    writeFileSync(join(dir, file), code)
    const port = await freePort()
    url = `http://127.0.0.1:${port}/`
    child = spawn(run, [join(dir, file)], {
      env: { PATH: process.env['PATH'], PORT: String(port), WEBHOOK_SECRET: SECRET },
    })
    for (const out of [child.stdout!, child.stderr!]) out.on('data', (data: Buffer) => (printed += data.toString()))
    const isUp = (): Promise<boolean> =>
      fetch(url, { method: 'POST', body: 'x' }).then(
        () => true,
        () => false,
      )
    while (!(await isUp())) await new Promise((passed) => setTimeout(passed, 50))
  })
  afterAll(() => {
    child?.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })

  const now = (): number => Math.floor(Date.now() / 1_000)
  async function send(secrets: readonly string[], atSeconds = now(), event: object = EVENT): Promise<number> {
    const body = JSON.stringify(event)
    return (await fetch(url, { method: 'POST', body, headers: signed('evt_1', atSeconds, body, secrets) })).status
  }

  it('takes an event once, by the old secret or the new one; not what another signed, or what is old', async () => {
    const other = newSecret(systemIds())
    expect(await send([other])).toBe(400)
    expect(await send([SECRET], now() - 3_600)).toBe(400)
    expect(printed).not.toContain('job.done')
    expect(await send([other, SECRET])).toBe(204)
    expect(await send([SECRET])).toBe(204)
    await expect.poll(() => printed.split('job.done job_1').length - 1).toBe(1)
  })
})
