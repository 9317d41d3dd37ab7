import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { LANGUAGES, snippet } from '../src/pages/first/request.ts'

const asked = { base: 'http://127.0.0.1:4100', model: 'demo', text: 'It’s "rivers": tell me', key: null }

it('quotes what was typed as a shell reads it', () => {
  const text = 'it\'s `id` $HOME "x"'
  const command = snippet('curl', { ...asked, text })
    .join('')
    .replace(/^curl/, 'printf "%s\\n"')
  const last = execFileSync('bash', ['-c', command], { encoding: 'utf8' }).trim().split('\n').at(-1) as string
  expect(JSON.parse(last)).toMatchObject({ model: 'demo', messages: [{ content: text }] })
})

it('has the key where there is one, else the reader’s own', () => {
  for (const language of LANGUAGES) {
    expect(snippet(language, { ...asked, key: 'sk-sluice-x' }).join('')).toContain('sk-sluice-x')
    expect(snippet(language, asked).join('')).toMatch(/\$KEY|environ\["KEY"\]|process\.env\.KEY/)
  }
})
