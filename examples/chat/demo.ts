/**
 * Sluice and the chat in one command, with a button that kills the server: npm run demo
 *
 * The server is a process of its own, with a data folder that is removed at the end. The button sends it SIGKILL, in
 * the middle of whatever it does, and starts it again on the same folder.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startChat } from './backend.ts'

const { values } = parseArgs({ options: { port: { type: 'string', default: '4180' } } })
/** Long enough to be seen. */
const DEAD_MS = 800
const READY_WITHIN_MS = 20_000
const BIN = join(import.meta.dirname, '../../bin/sluice.js')

const folder = mkdtempSync(join(tmpdir(), 'sluice-demo-'))
const key = `sk-sluice-demo-${randomBytes(24).toString('hex')}`
const [port, adminPort] = [await freePort(), await freePort()]
const url = `http://127.0.0.1:${port}`
const chatPort = (await isFree(Number(values.port))) ? Number(values.port) : await freePort()
const origin = `http://127.0.0.1:${chatPort}`
const config = join(folder, 'sluice.yaml')
writeFileSync(
  config,
  // Here many deaths are nobody's fault
  `models: [{ name: demo, provider: demo }]\nhttp: { cors_origins: ["${origin}"] }\nqueue: { max_crashes: 1000 }\n`,
)

let server: ChildProcess
let ending = false
await startServer()
const chat = await startChat({ port: chatPort, url, key, model: 'demo', kill })
say(`
  Open ${chat.origin}

  Ask for a long answer. While it is being written, press
    "Cut my connection": the answer continues without you, and you get the rest when you are back;
    "kill -9 the server": process ${server!.pid} dies on the spot, another starts, and the text resumes after the last
    token that you saw.
  Ctrl-C ends both and removes ${folder}.
`)

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end())

async function kill(): Promise<number> {
  const { pid } = server
  server.kill('SIGKILL')
  const diedAt = performance.now()
  await exited(server)
  say(`kill -9 ${pid}: the server is dead. Its log is on disk.`)
  await sleep(DEAD_MS)
  if (ending) return 0
  await startServer()
  const downMs = performance.now() - diedAt
  say(`Process ${server.pid} is ready, ${Math.round(downMs)} ms after the kill. Unfinished answers continue.`)
  return downMs
}

async function startServer(): Promise<void> {
  server = spawn(process.execPath, [BIN, 'serve', '--config', config], {
    env: {
      ...process.env,
      SLUICE_PORT: String(port),
      SLUICE_ADMIN_PORT: String(adminPort),
      SLUICE_DATA_DIR: join(folder, 'data'),
      SLUICE_KEY: key,
      SLUICE_LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  for (const until = performance.now() + READY_WITHIN_MS; performance.now() < until; await sleep(20)) {
    if (server.exitCode !== null) break
    const ready = await fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (ready) return
  }
  server.kill('SIGKILL')
  throw new Error('The server did not start; see above.')
}

async function end(): Promise<void> {
  if (ending) return
  ending = true
  chat.close()
  server.kill('SIGTERM')
  await Promise.race([exited(server), sleep(10_000)])
  server.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
  process.exit(0)
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((done) =>
    child.exitCode !== null || child.signalCode !== null ? done() : child.once('exit', () => done()),
  )
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((done) => probe.listen(0, '127.0.0.1', done))
  const { port: free } = probe.address() as { port: number }
  await new Promise((done) => probe.close(done))
  return free
}

function isFree(at: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = createServer()
    probe.once('error', () => done(false))
    probe.listen(at, '127.0.0.1', () => probe.close(() => done(true)))
  })
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
