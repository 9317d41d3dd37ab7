/**
 * The last ten commits are reviewed in the background, while the program does something else.
 *
 *   SLUICE_API_KEY=sk-sluice-… node examples/code-review/main.ts [--repo DIR] [--commits 10]
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { connect, type SluiceError } from '@sluice/client'

/** Of a diff, the model sees no more than this. */
const MAX_DIFF_CHARS = 12_000

const { SLUICE_URL = 'http://127.0.0.1:4100', SLUICE_API_KEY, SLUICE_MODEL = 'demo' } = process.env
const { values } = parseArgs({
  options: { repo: { type: 'string', default: '.' }, commits: { type: 'string', default: '10' } },
})
if (!SLUICE_API_KEY) fail('Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.')

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

const commits = git('log', `-${values.commits}`, '--format=%h %s')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => ({ hash: line.slice(0, line.indexOf(' ')), subject: line.slice(line.indexOf(' ') + 1) }))
if (commits.length === 0) fail(`There are no commits in ${values.repo}.`)

// Submitted, and not waited for. Low priority: a chat of the same tenant goes first
const startedAt = performance.now()
const reviews = commits.map(({ hash, subject }) => {
  // The built-in model takes "demo: tokens=4000" for a wish of ours, also where a diff has it
  const diff = git('show', '--stat', '--patch', '--format=%an%n%B', hash).replaceAll('demo:', 'demo :')
  const job = sluice.submit({
    request: {
      model: SLUICE_MODEL,
      messages: [
        {
          role: 'system',
          content:
            'You review commits. Name the one thing that matters most, in at most five sentences; say ' +
            '"nothing" if there is none.',
        },
        {
          role: 'user',
          content:
            diff.length > MAX_DIFF_CHARS
              ? `${diff.slice(0, MAX_DIFF_CHARS)}\n… ${diff.length - MAX_DIFF_CHARS} more characters`
              : diff,
        },
      ],
    },
    priority: 'low',
    metadata: { commit: hash },
  })
  return job.answer().then(
    ({ text }) => say(`── ${hash} ${subject}\n${text}\n`),
    (error: SluiceError) => {
      process.exitCode = 1
      say(`── ${hash} ${subject}\ncould not be reviewed: ${error.message}\n`)
    },
  )
})
say(`${commits.length} commits are under review; meanwhile, the lines of this repository:\n`)

// The program continues: this does not wait for any model
for (const [language, lines] of countLines()) say(`${String(lines).padStart(8)}  ${language}\n`)
say(`counted after ${Math.round(performance.now() - startedAt)} ms\n\n`)

await Promise.all(reviews)
sluice.close()
say(`${commits.length} reviews in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s\n`)

function countLines(): Array<[string, number]> {
  const lines = new Map<string, number>()
  for (const path of git('ls-files').split('\n')) {
    const language = extname(path)
    if (language === '') continue
    try {
      lines.set(
        language,
        (lines.get(language) ?? 0) + readFileSync(join(values.repo, path), 'utf8').split('\n').length - 1,
      )
    } catch {
      // A link, or a file that is not checked out
    }
  }
  return [...lines].sort((a, b) => b[1] - a[1]).slice(0, 8)
}

function git(...args: string[]): string {
  try {
    return execFileSync('git', ['-C', values.repo, ...args], {
      encoding: 'utf8',
      maxBuffer: 64 << 20,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  } catch (error) {
    return fail(
      `git ${args[0]} does not work in ${values.repo}: ` +
        `${(error as { stderr?: string }).stderr?.trim() ?? (error as Error).message}`,
    )
  }
}

function say(text: string): void {
  process.stdout.write(text)
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}
