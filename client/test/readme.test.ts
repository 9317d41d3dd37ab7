/** The code of the README, against the real types: the client's, the AI SDK's, React's. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')

/** What the README leaves to its reader, by a word of the code that uses it. */
const READERS: ReadonlyArray<readonly [RegExp, string]> = [
  [/ask\('Plan/, 'declare function ask(about: string): object[]'],
  [/documents\.map/, 'declare const documents: string[]; declare function ask(about: string): object[]'],
  [
    /(?<!const )sluice\.(conv|runs)|(Conversation|Transport|Connection)\(sluice/,
    "declare const sluice: import('@sluice/client').Sluice",
  ],
  [/render\(/, 'declare function render(...shown: unknown[]): void'],
  [/show\(state\)/, 'declare function show(state: string): void'],
  [/<Turn /, "declare function Turn(of: { turn: import('@sluice/client').Turn }): null"],
  [/Transport.*<Message /s, "declare function Message(of: { message: import('ai').UIMessage }): null"],
  [/Connection.*<Message /s, "declare function Message(of: { message: import('@tanstack/ai-react').UIMessage }): null"],
  [
    /app\.post/,
    'interface Req { user: { id: string } }\ninterface Res { json(value: unknown): void }\n' +
      'declare const app: { post(path: string, handle: (req: Req, res: Res) => unknown): void }\n' +
      'declare const SLUICE_URL: string; declare const SLUICE_API_KEY: string',
  ],
]

it('compiles', { timeout: 120_000 }, () => {
  const text = readFileSync(join(ROOT, 'client/README.md'), 'utf8')
  const snippets = [...text.matchAll(/^```tsx?\n(.*?)^```$/gms)].map(([, code]) => code)
  expect(snippets.length).toBeGreaterThanOrEqual(6)
  const folder = mkdtempSync(join(ROOT, 'client/test/.readme-'))
  try {
    for (const [i, code] of snippets.entries()) {
      const given = READERS.filter(([uses]) => uses.test(code)).map(([, declared]) => declared)
      writeFileSync(join(folder, `snippet-${i + 1}.tsx`), [code, ...given, 'export {}', ''].join('\n'))
    }
    const compilerOptions = {
      ...{ lib: ['esnext', 'dom', 'dom.iterable'], jsx: 'react-jsx', types: ['node', 'react'] },
      ...{ noUnusedLocals: false, noUnusedParameters: false },
    }
    const config = { extends: '../../../tsconfig.json', compilerOptions, include: ['*.tsx'], exclude: [] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    const { status, stdout } = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' })
    expect([status, stdout]).toEqual([0, ''])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
