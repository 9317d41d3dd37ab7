import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { ADMIN_KEY, startTestApp, type TestApp } from '../../test/front/app.ts'
import { run } from './run.ts'
import { viewOf } from './top-view.ts'

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

/** An admin listener that answers the session, and then sends this to whoever watches. */
async function fake(frames: readonly string[]): Promise<{ url: string; close(): void }> {
  const server = createServer((_request, response) => response.end('{}'))
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => {
    for (const frame of frames) socket.send(frame)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      for (const client of sockets.clients) client.terminate()
      server.close()
    },
  }
}

it.each([
  ['no JSON', ['not json']],
  ['null', ['null']],
  ['frames without their members', ['{"t":"now"}', '{"t":"line"}', '{"t":"foot"}']],
])('is told by a server that sends %s, and ends with a word', async (_name, frames) => {
  const server = await fake(frames)
  const { code, notes } = await sluice('top', '--admin-url', server.url)
  server.close()
  expect(code).toBe(1)
  expect(notes).toEqual([
    `sluice: ${server.url} tells its figures in a form that this version of sluice does not know.`,
  ])
})

it('shows what was spent as the dashboard does, and that nothing has come for a while', () => {
  const figure = { value: null, goal: null }
  const now = {
    ...{ briefs: [], deployments: [], waitingTokens: 0, isSpentEstimated: false, spentNanoUsd: { value: 1_386_000 } },
    ...{ ttftP95Ms: figure, tpotP95Ms: figure, tokensPerSecond: figure, waitingJobs: figure, good: figure },
  }
  const lines = viewOf({ now } as never, 80, 8_400).join('\n')
  expect(lines).toMatch(/Spent today +\$0\.0014/)
  expect(lines).toContain('No word from Sluice for 8 s')
  expect(viewOf({ now } as never, 80).join()).not.toContain('No word')
})

it('prints a link that signs in once', async () => {
  const { code, out } = await sluice('dashboard', '--role', 'viewer')
  expect(code).toBe(0)
  expect(out).toHaveLength(1)
  expect(out[0]).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:${app.adminPort}/#code=[\\w-]{43}$`))
  expect((await sluice('dashboard', '--role', 'king')).code).not.toBe(0)
})
