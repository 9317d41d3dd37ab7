/**
 * The protocol's suite against any server: node test/protocol/main.ts --url http://127.0.0.1:4100 --key sk-sluice-…
 *   --model NAME        a model that understands our demo's words (default demo)
 *   --narrow NAME       one that answers one job at a time; without it the cases of the queue are left out
 *   --embedding NAME    one for embeddings; without it their case is left out
 *   --other-key KEY     a key of another tenant; without it its case is left out
 *   --limited-key KEY   one that may use 1,000 tokens at once; without it the cases of limits are left out
 *   --list              says the cases, and runs none
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const text = { type: 'string' } as const
const { values } = parseArgs({
  options: {
    url: text,
    key: text,
    model: text,
    narrow: text,
    embedding: text,
    'other-key': text,
    'limited-key': text,
    list: { type: 'boolean' },
  },
})
if (!values.list && (values.url === undefined || values.key === undefined)) {
  console.error(
    'usage: node test/protocol/main.ts --url URL --key KEY [--model NAME] [--narrow NAME] [--embedding NAME] ' +
      '[--other-key KEY] [--limited-key KEY], or --list',
  )
  process.exit(2)
}
const root = join(import.meta.dirname, '../..')
const said = {
  URL: values.url,
  KEY: values.key,
  MODEL: values.model,
  NARROW: values.narrow,
  EMBEDDING: values.embedding,
  OTHER_KEY: values['other-key'],
  LIMITED_KEY: values['limited-key'],
}
const env = Object.fromEntries(
  Object.entries(said).flatMap(([name, value]) => (value === undefined ? [] : [[`SLUICE_PROTOCOL_${name}`, value]])),
)
const vitest = join(root, 'node_modules/vitest/vitest.mjs')
// A pattern that no name has: all are named, none is run
const which = values.list ? ['-t', '(?!)'] : []
const run = spawn(
  process.execPath,
  [vitest, 'run', '--reporter', 'verbose', ...which, 'test/protocol/conformance.test.ts'],
  {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  },
)
run.on('exit', (code) => process.exit(code ?? 1))
