/**
 * Fifty contracts, read side by side: all are submitted at once, wait in line together, and come back in input order.
 *
 *   SLUICE_API_KEY=sk-sluice-… node examples/contracts/main.ts [--documents DIR] [--out FILE]
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { connect, type SluiceError } from '@sluice/client'

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo' } = process.env
const { values } = parseArgs({
  options: { documents: { type: 'string', default: join(import.meta.dirname, 'documents') }, out: { type: 'string' } },
})
if (!SLUICE_API_KEY) fail('Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.')

const WANTED =
  'Answer with one JSON object: {"kind", "parties": [], "date", "amount", "currency", "term_months", ' +
  '"notice_days", "law"}. Use null for what the contract does not say.'
const names = readdirSync(values.documents)
  .filter((name) => name.endsWith('.txt'))
  .sort()

let wasOpen = false
const sluice = connect({
  url: SLUICE_URL,
  key: SLUICE_API_KEY,
  onState(state) {
    wasOpen ||= state === 'open'
  },
  onError(error) {
    // Later, a lost connection comes back by itself
    if (!wasOpen)
      fail(
        error.code === 'connection_lost' ? `${SLUICE_URL} can't be reached; is Sluice running there?` : error.message,
      )
  },
})

const startedAt = performance.now()
let done = 0
const work = names.map(async (name) => {
  const job = sluice.submit({
    request: {
      model: SLUICE_MODEL,
      response_format: { type: 'json_object' },
      messages: [
        { role: 'system', content: WANTED },
        { role: 'user', content: readFileSync(join(values.documents, name), 'utf8') },
      ],
    },
    metadata: { document: name },
  })
  try {
    const { text, usage, timing } = await job.answer()
    return {
      document: name,
      job: job.id,
      fields: parse(text),
      tokens: usage?.completion_tokens ?? 0,
      ms: timing?.total_ms ?? 0,
      error: undefined,
    }
  } catch (error) {
    // One that fails does not stop the others
    return {
      document: name,
      job: job.id,
      tokens: 0,
      ms: 0,
      error: { code: (error as SluiceError).code, message: (error as SluiceError).message },
    }
  } finally {
    showProgress(++done, names.length)
  }
})
const results = await Promise.all(work)
sluice.close()

const lines = results.map((result) => `${JSON.stringify(result)}\n`).join('')
if (values.out === undefined) process.stdout.write(lines)
else writeFileSync(values.out, lines)

const good = results.filter((r) => r.error === undefined)
const seconds = (performance.now() - startedAt) / 1_000
const inTurn = good.reduce((sum, r) => sum + r.ms, 0) / 1_000
process.stderr.write(
  `${good.length} of ${names.length} contracts in ${seconds.toFixed(1)} s, ` +
    `${good.reduce((sum, r) => sum + r.tokens, 0)} tokens; one after another: ${inTurn.toFixed(0)} s\n`,
)
process.exitCode = good.length === names.length ? 0 : 1

/** The fields if the model answered in JSON; otherwise its text. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function showProgress(n: number, of: number): void {
  const width = 40
  const filled = Math.round((n / of) * width)
  const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${n}/${of}`
  if (process.stderr.isTTY) process.stderr.write(`\r${bar}${n === of ? '\n' : ''}`)
  else if (n % 10 === 0 || n === of) process.stderr.write(`${bar}\n`)
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
