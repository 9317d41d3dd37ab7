/**
 * The chat, beside a Sluice that runs already:
 *
 *   SLUICE_API_KEY=sk-sluice-… node examples/chat/server.ts [--port 4180]
 */
import { parseArgs } from 'node:util'
import { type ChatOptions, giveTicket, startChat } from './backend.ts'

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo' } = process.env
const { values } = parseArgs({ options: { port: { type: 'string', default: '4180' } } })
const origin = `http://127.0.0.1:${values.port}`

if (!SLUICE_API_KEY) fail('Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.')
const options: ChatOptions = { port: Number(values.port), url: SLUICE_URL, key: SLUICE_API_KEY, model: SLUICE_MODEL }
await checkSluice()
try {
  const chat = await startChat(options)
  process.stdout.write(`Chat: ${chat.origin}\n`)
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException
  fail(code === 'EADDRINUSE' ? `Port ${values.port} is taken; choose another with --port.` : message)
}

/** Tells at once what would only be seen in the page. */
async function checkSluice(): Promise<void> {
  const [status, { error }] = await giveTicket(options, 'nobody', origin)
  if (status !== 201) fail(error?.message ?? `${SLUICE_URL} answered with HTTP ${status}.`)
  const asked = { origin, 'access-control-request-method': 'GET' }
  const { ok } = await fetch(`${SLUICE_URL}/v1/jobs`, { method: 'OPTIONS', headers: asked })
  if (!ok) process.stderr.write(`Sluice will refuse this page: start it with --http-cors-origins ${origin}\n`)
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
