/** The programs of docs/batches.md, as they stand there: each makes a batch, and prints what was answered. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bareEnvironment } from '../environment.ts'
import { startTestApp, type TestApp } from '../front/app.ts'
import { interpreterWith, ROOT } from '../python/python.ts'

const text = readFileSync(join(ROOT, 'docs/batches.md'), 'utf8')
const blockOf = (language: string): string => text.split(`\`\`\`${language}\n`)[1].split('\n```')[0]
const python = interpreterWith('openai')
const PLACE = 'http://127.0.0.1:4100/'

let app: TestApp
let dir: string
beforeAll(async () => {
  app = await startTestApp()
  dir = mkdtempSync(join(tmpdir(), 'sluice-batches-'))
  symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'))
})
afterAll(async () => {
  await app?.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function printed(language: string, file: string, command: string): Promise<string> {
  const code = blockOf(language)
  expect(code).toContain(PLACE)
  writeFileSync(join(dir, file), code.replaceAll(PLACE, `http://127.0.0.1:${app.port}/`))
  const child = spawn(command, [file], { cwd: dir, env: { ...bareEnvironment(), SLUICE_API_KEY: app.key } })
  let [out, err] = ['', '']
  child.stdout.on('data', (data: Buffer) => (out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  const exit = await new Promise((done) => child.once('close', done))
  expect([exit, err]).toEqual([0, ''])
  return out
}

describe('docs/batches.md', () => {
  it('curl', async () => {
    const lines = (await printed('sh', 'batch.sh', 'bash')).trim().split('\n')
    const answers = lines.map((line) => JSON.parse(line) as Record<string, any>)
    expect(answers.map((one) => one['custom_id']).sort()).toEqual(['r-1', 'r-2', 'r-3'])
    for (const { response } of answers) expect(response.body.data[0].embedding.length).toBeGreaterThan(0)
  })

  it('TypeScript', async () => {
    const out = await printed('ts', 'batch.mts', process.execPath)
    expect(out).toContain('completed { total: 3, completed: 3, failed: 0 }')
    for (const topic of ['rivers', 'lakes', 'seas']) expect(out).toMatch(new RegExp(`^${topic} 200 \\w+`, 'm'))
  })

  it.skipIf(python === undefined)('Python', async () => {
    const out = await printed('python', 'batch.py', python!)
    expect(out).toMatch(/^completed .*completed=3, failed=0/)
    for (const topic of ['rivers', 'lakes', 'seas'])
      expect(out).toMatch(new RegExp(`^${topic} .*'status_code': 200`, 'm'))
  })

  it('the line that it shows is one', async () => {
    const { custom_id, method, url, body } = JSON.parse(blockOf('json')) as Record<string, any>
    expect([custom_id, method]).toEqual(['a', 'POST'])
    const response = await fetch(`http://127.0.0.1:${app.port}${url}`, {
      method,
      headers: { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    expect(response.status).toBe(200)
  })
})
