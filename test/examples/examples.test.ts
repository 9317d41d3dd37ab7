/** The examples, as a reader of their README would run them, against a real server with the demo model. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startServer } from '../e2e/server.ts'
import { bareEnvironment } from '../environment.ts'
import { interpreterWith } from '../python/python.ts'

const ROOT = join(import.meta.dirname, '../..')
let server: Server
let dir: string
beforeAll(async () => {
  server = await startServer('models:\n  - { name: demo, provider: demo }\nlog: { level: silent }\n')
  dir = mkdtempSync(join(tmpdir(), 'sluice-examples-'))
})
afterAll(async () => {
  await server?.stop()
  rmSync(dir, { recursive: true, force: true })
})

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function run(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  return new Promise((done) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      env: { ...bareEnvironment(), SLUICE_URL: server.url, SLUICE_API_KEY: server.key, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [out, err] = ['', '']
    child.stdout.on('data', (d: Buffer) => (out += d.toString()))
    child.stderr.on('data', (d: Buffer) => (err += d.toString()))
    child.on('close', (code) => done({ code, out, err }))
  })
}
const example = (name: string, args: readonly string[] = [], env?: Record<string, string>): Promise<Ran> =>
  run(process.execPath, ['--conditions=@sluice/source', join('examples', name, 'main.ts'), ...args], env)

const KIND = [
  ['a wrong key', { SLUICE_API_KEY: 'sk-sluice-nope' }, 'API key is not valid'],
  ['no key', { SLUICE_API_KEY: '' }, 'Set SLUICE_API_KEY'],
  ['no server', { SLUICE_URL: 'http://127.0.0.1:1' }, "can't be reached"],
] as const

describe('contracts', () => {
  it('reads fifty side by side, and gives them back in input order', async () => {
    const { code, out, err } = await example('contracts')
    expect(code, err).toBe(0)
    const results = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { document: string; job: string; fields: unknown; ms: number })
    expect(results.map((r) => r.document)).toEqual(readdirSync(join(ROOT, 'examples/contracts/documents')).sort())
    expect(new Set(results.map((r) => r.job)).size).toBe(50)
    expect(results.every((r) => r.fields !== null && r.fields !== '')).toBe(true)
    expect(err).toMatch(/█{40} 50\/50/)
    const [, seconds, inTurn] = /50 of 50 contracts in ([\d.]+) s, \d+ tokens; one after another: (\d+) s/.exec(err)!
    expect(Number(seconds)).toBeLessThan(Number(inTurn) / 3)
  })

  it('keeps its place for one that fails, and goes on', async () => {
    const documents = mkdtempSync(join(dir, 'documents-'))
    for (const name of ['a', 'b', 'c'])
      writeFileSync(
        join(documents, `${name}.txt`),
        `Contract ${name}. ${name === 'b' ? 'demo: fail=400' : 'demo: tokens=5 delay=1'}`,
      )
    const file = join(dir, 'lines.jsonl')
    const { code, err } = await example('contracts', ['--documents', documents, '--out', file])
    const lines = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { document: string; error?: { code: string } })
    expect(lines.map((l) => [l.document, l.error?.code])).toEqual([
      ['a.txt', undefined],
      ['b.txt', 'provider_rejected'],
      ['c.txt', undefined],
    ])
    expect([code, err.includes('2 of 3 contracts')]).toEqual([1, true])
  })

  it.each(KIND)('says in a line what to do: %s', async (_what, env, said) => {
    const { code, out, err } = await example('contracts', [], env)
    expect([code, out, err.trim().split('\n').length], err).toEqual([1, '', 1])
    expect(err).toContain(said)
  })
})

describe('bouncer', () => {
  it('refuses the loop, the bomb and the circling agent with their causes, while another user chats on', async () => {
    const guarded = await startServer(readFileSync(join(ROOT, 'examples/bouncer/sluice.yaml'), 'utf8'), {
      SLUICE_LOG_LEVEL: 'silent',
    })
    try {
      const { code, out, err } = await example('bouncer', [], { SLUICE_URL: guarded.url })
      expect(code, out + err).toBe(0)
      expect(out).toMatch(/^User A: [1-9] of 50 PDFs were read, 4\d were refused\.$/m)
      expect(out).toMatch(/^ {2}Rate limit reached for demo \(user A\) on tokens per min \(TPM\): Limit 6000, /m)
      expect(out).toMatch(/^User B: 8 of 8 messages were answered/m)
      expect(out).toMatch(/^The prompt of 80,000 tokens was refused in \d+ ms; retry: false\.$/m)
      expect(out).toMatch(/^The agent was stopped at step \d+\.\n {2}You exceeded your current quota: .*run agent-\d+/m)
      const headers = { authorization: `Bearer ${guarded.key}` }
      const { data } = (await (await fetch(`${guarded.url}/v1/usage?group_by=user`, { headers })).json()) as {
        data: ReadonlyArray<{ user: string | null; attempts: number; nano_dollars: number }>
      }
      // Nothing of the prompt of 80,000 tokens, and no more than its budget of the agent
      expect(data.map(({ user }) => user)).toEqual([null, 'A', 'B'])
      expect(data[0].nano_dollars).toBeLessThanOrEqual(10_000_000)
      expect(data[1].attempts).toBeLessThan(10)
    } finally {
      await guarded.stop()
    }
  })

  it.each(KIND)('says in a line what to do: %s', async (_what, env, said) => {
    const { code, out, err } = await example('bouncer', [], env)
    expect([code, out, err.trim().split('\n').length], err).toEqual([1, '', 1])
    expect(err).toContain(said)
  })
})

describe.each(['main.ts', 'main.py'])('runs: %s', (file) => {
  const python = file.endsWith('.py') ? interpreterWith('httpx') : undefined
  const agent = (env?: Record<string, string>): Promise<Ran> =>
    file.endsWith('.ts')
      ? example('runs', [], env)
      : run(python!, [join('examples/runs', file)], { PYTHONPATH: join(ROOT, 'python/src'), ...env })
  const isOut = file.endsWith('.py') && python === undefined

  it.skipIf(isOut)('a plan, parts, a report, revisions until the budget ends them, and a cancel', async () => {
    const { code, out, err } = await agent()
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^The guide has [1-9]\d* characters, from 4 parts\.$/m)
    expect(out).toMatch(/^After 4 revisions its budget ended it: .*budget of steps of run \S+, 10 in all/m)
    expect(out).toMatch(/^Run \S+: 1[01] jobs, 10 steps, \d+ tokens\.$/m)
    const tree = [...out.matchAll(/^( +)\w{6} (\w+), /gm)].map(([, indent, state]) => [indent.length / 2, state])
    expect(tree.slice(0, 10)).toEqual([1, 2, 2, 2, 2, 2, 3, 4, 5, 6].map((depth) => [depth, 'done']))
    const [, run] = /^Run (\S+) was canceled, with 6 jobs\.$/m.exec(out)!
    const response = await fetch(`${server.url}/v1/runs/${run}`, { headers: { authorization: `Bearer ${server.key}` } })
    expect(await response.json()).toMatchObject({ state: 'canceled', totals: { jobs: 6 } })
  })

  it.skipIf(isOut).each(KIND.slice(0, 2))('says in a line what to do: %s', async (_what, env, said) => {
    const { code, out, err } = await agent(env)
    expect([code, out, err.trim().split('\n').length], err).toEqual([1, '', 1])
    expect(err).toContain(said)
  })
})

it('bulk-content writes twenty articles', async () => {
  const out = join(dir, 'articles')
  const ran = await example('bulk-content', ['--out', out])
  expect(ran.code, ran.err).toBe(0)
  const files = readdirSync(out).sort()
  expect(files.length).toBe(20)
  expect(files[0]).toBe('01-how-rivers-find-the-sea.md')
  for (const file of files) expect(readFileSync(join(out, file), 'utf8')).toMatch(/^# .+\n\n.{100}/)
  expect(ran.out).toMatch(/^20 articles, \d{3,} words, in [\d.]+ s/)
})

it('code-review goes on while ten commits are reviewed', async () => {
  const repo = mkdtempSync(join(dir, 'repo-'))
  const git = (...args: string[]): string =>
    execFileSync(
      'git',
      ['-C', repo, '-c', 'user.name=A', '-c', 'user.email=a@example.com', '-c', 'commit.gpgsign=false', ...args],
      { encoding: 'utf8' },
    )
  git('init', '-q')
  for (let i = 1; i <= 12; i++) {
    writeFileSync(join(repo, `file${i}.ts`), `export const n${i} = ${i}\n`.repeat(i * 20))
    git('add', '.')
    // What is reviewed is no wish of the example's
    git('commit', '-q', '-m', `Commit ${i}`, ...(i === 9 ? ['-m', 'demo: tokens=4000 delay=1000 fail=401'] : []))
  }
  const { code, out, err } = await example('code-review', ['--repo', repo])
  expect(code, err).toBe(0)
  const reviews = [...out.matchAll(/^── [0-9a-f]{7,} Commit (\d+)$/gm)].map((m) => Number(m[1]))
  expect(reviews.toSorted((a, b) => b - a)).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3])
  // What the program did meanwhile was done before the first review
  expect(out.indexOf('counted after')).toBeGreaterThan(0)
  expect(out.indexOf('counted after')).toBeLessThan(out.indexOf('── '))
  expect(out).toMatch(/10 reviews in [\d.]+ s/)
})

/** An interpreter that has the package: named by SLUICE_TEST_PYTHON, or python3. */
const python = [process.env['SLUICE_TEST_PYTHON'], 'python3'].find(
  (name) => name && spawnSync(name, ['-c', 'import websockets']).status === 0,
)
describe.skipIf(python === undefined)('python', () => {
  const CHAT = join('examples', 'python', 'chat.py')

  it('speaks the wire in a few lines: two turns of a conversation, over a cut', async () => {
    const said = [
      'Tell me of rivers. demo: tokens=40 delay=20 ttft=20',
      'And of the sea? demo: tokens=10 delay=5 ttft=5',
    ]
    const { code, out, err } = await run(python!, [CHAT, ...said], { SLUICE_EXAMPLE_CUT: '1' })
    expect(code, err).toBe(0)
    const list = (await (
      await fetch(`${server.url}/v1/jobs?limit=2`, { headers: { authorization: `Bearer ${server.key}` } })
    ).json()) as {
      data: Array<{ id: string; conversation: string }>
    }
    expect(list.data[0].conversation).toBe(list.data[1].conversation)
    let at = 0
    for (const { id } of list.data.reverse()) {
      const result = (await (
        await fetch(`${server.url}/v1/jobs/${id}/result`, { headers: { authorization: `Bearer ${server.key}` } })
      ).json()) as {
        choices: Array<{ message: { content: string } }>
      }
      const text = `${result.choices[0].message.content}\n-- done\n`
      expect(out.slice(at, at + text.length)).toBe(text)
      at += text.length
    }
    expect([at, err.trim()]).toEqual([out.length, '(cut; coming back)'])
  })

  it.each(KIND)('says in a line what to do: %s', async (_what, env, told) => {
    const { code, out, err } = await run(python!, [CHAT], env)
    expect([code, out, err.trim().split('\n').length], err).toEqual([1, '', 1])
    expect(err).toContain(told)
  })
})
