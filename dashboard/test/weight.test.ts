/** What is served, built anew: its weight, and that it keeps the content security policy. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { afterAll, beforeAll, expect, it } from 'vitest'

const outDir = mkdtempSync(join(tmpdir(), 'sluice-dashboard-'))
const files = new Map<string, Buffer>()

beforeAll(async () => {
  const configFile = join(import.meta.dirname, '../vite.config.ts')
  await build({ configFile, logLevel: 'error', build: { outDir, emptyOutDir: true } })
  for (const path of readdirSync(outDir, { recursive: true, encoding: 'utf8' }))
    if (/\.[a-z0-9]+$/.test(path)) files.set(path, readFileSync(join(outDir, path)))
})
afterAll(() => rmSync(outDir, { recursive: true, force: true }))

const textOf = (end: string): string =>
  [...files].flatMap(([path, bytes]) => (path.endsWith(end) ? [bytes.toString('utf8')] : [])).join('\n')

it('weighs at most 150 KB, font included', () => {
  const weights = [...files].map(([path, bytes]) => [path, gzipSync(bytes, { level: 9 }).length] as const)
  const sum = weights.reduce((so, [, weight]) => so + weight, 0)
  expect(weights.some(([path]) => path.endsWith('.woff2'))).toBe(true)
  expect(sum, weights.map(([path, weight]) => `${path} ${weight}`).join('\n')).toBeLessThan(150 * 1024)
})

it('renders answers as text: no source sets HTML', () => {
  const root = join(import.meta.dirname, '../src')
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => /\.tsx?$/.test(path))
  expect(sources.length).toBeGreaterThan(20)
  const set = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|style="|cssText/
  expect(sources.filter((path) => set.test(readFileSync(join(root, path), 'utf8')))).toEqual([])
})

it('has nothing inline, and nothing from elsewhere', () => {
  const html = textOf('.html')
  expect(html).not.toMatch(/<script(?![^>]*\bsrc="\/)/)
  expect(html).not.toMatch(/<style|\sstyle=|\son[a-z]+=/)
  for (const [, url] of html.matchAll(/(?:src|href)="([^"]*)"/g)) expect(url).toMatch(/^\//)
  for (const [, url] of textOf('.css').matchAll(/url\(([^)]*)\)/g)) expect(url).toMatch(/^\/assets\//)
  expect(textOf('.css')).not.toContain('@import')
  expect(textOf('.js').match(/\beval\(|new Function\(/g)).toBe(null)
})
