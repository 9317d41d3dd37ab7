/**
 * Twenty titles become twenty articles, all written at once.
 *
 *   SLUICE_API_KEY=sk-sluice-… node examples/bulk-content/main.ts [--titles FILE] [--out DIR]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { connect, type SluiceError } from '@sluice/client'

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo' } = process.env
const { values } = parseArgs({
  options: {
    titles: { type: 'string', default: join(import.meta.dirname, 'titles.txt') },
    out: { type: 'string', default: 'articles' },
  },
})
if (!SLUICE_API_KEY) fail('Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.')

const titles = readFileSync(values.titles, 'utf8')
  .split('\n')
  .map((line) => line.trim())
  .filter((line) => line !== '')

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

mkdirSync(values.out, { recursive: true })
const startedAt = performance.now()
const articles = titles.map((title) => ({
  title,
  job: sluice.submit({
    request: {
      model: SLUICE_MODEL,
      messages: [{ role: 'user', content: `Write an article of about 150 words with the title "${title}".` }],
    },
  }),
}))

// All of them, live: how much has been written so far
const ticking = setInterval(showCount, 250)
let failed = 0
await Promise.all(
  articles.map(async ({ title, job }, i) => {
    try {
      const { text } = await job.answer()
      writeFileSync(join(values.out, `${String(i + 1).padStart(2, '0')}-${slug(title)}.md`), `# ${title}\n\n${text}\n`)
    } catch (error) {
      failed++
      process.stderr.write(`${title}: ${(error as SluiceError).message}\n`)
    }
  }),
)
clearInterval(ticking)
sluice.close()

const words = articles.reduce((sum, { job }) => sum + countWords(job.text), 0)
process.stdout.write(
  `${titles.length - failed} articles, ${words} words, in ` +
    `${((performance.now() - startedAt) / 1_000).toFixed(1)} s: ${values.out}/\n`,
)
process.exitCode = failed === 0 ? 0 : 1

function showCount(): void {
  if (!process.stderr.isTTY) return
  const whole = articles.filter(({ job }) => job.over).length
  process.stderr.write(
    `\r${whole} of ${titles.length} written, ` +
      `${articles.reduce((sum, { job }) => sum + countWords(job.text), 0)} words so far `,
  )
}

function countWords(text: string): number {
  return text.split(/\s+/).filter((word) => word !== '').length
}

function slug(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
