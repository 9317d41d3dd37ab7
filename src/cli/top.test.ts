import { afterAll, beforeAll, expect, it } from 'vitest'
import { ADMIN_KEY, startTestApp, type TestApp } from '../../test/front/app.ts'
import { run } from './run.ts'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
  process.env['SLUICE_ADMIN_KEY'] = ADMIN_KEY
  process.env['SLUICE_ADMIN_URL'] = `http://127.0.0.1:${app.adminPort}`
})
afterAll(async () => {
  delete process.env['SLUICE_ADMIN_KEY']
  delete process.env['SLUICE_ADMIN_URL']
  await app?.stop()
})

async function sluice(...argv: string[]): Promise<{ code: number; out: string[]; notes: string[] }> {
  const out: string[] = []
  const notes: string[] = []
  const code = await run(argv, {
    print: (line) => out.push(line),
    write: (text) => out.push(text),
    note: (line) => notes.push(line),
  })
  return { code, out, notes }
}

it('prints one picture where there is no terminal, as JSON too', async () => {
  const { code, out } = await sluice('top')
  expect(code).toBe(0)
  const text = out.join('\n')
  expect(text).toContain('Nothing was submitted yet.')
  expect(text).toMatch(/TTFT p95 +– +goal 1\.5 s/)
  expect(text).toMatch(/0 waiting · 0 running/)
  expect(text).toMatch(/^demo@demo +demo +up/m)
  expect(text).not.toContain('\x1b')
  const json = await sluice('top', '--json')
  expect(JSON.parse(json.out.join(''))).toMatchObject({ now: { briefs: [{ kind: 'new' }] }, line: { running: 0 } })
})

it('prints a link that signs in once', async () => {
  const { code, out } = await sluice('dashboard', '--role', 'viewer')
  expect(code).toBe(0)
  expect(out).toHaveLength(1)
  expect(out[0]).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:${app.adminPort}/#code=[\\w-]{43}$`))
  expect((await sluice('dashboard', '--role', 'king')).code).not.toBe(0)
})
