/** What the library weighs in a page: npm run size -w client */
import { gzipSync } from 'node:zlib'
import { build } from 'rolldown'

const kb = (n: number): string => `${(n / 1000).toFixed(1)} kB`
for (const [name, entry] of [
  ['@sluice/client', 'index'],
  ['@sluice/client/ai-sdk, besides it', 'ai-sdk'],
  ['@sluice/client/react, besides it', 'react'],
  ['@sluice/client/tanstack-ai, besides it', 'tanstack-ai'],
]) {
  const { output } = await build({
    input: new URL(`../src/${entry}.ts`, import.meta.url).pathname,
    write: false,
    external: ['react'],
    output: { minify: true, format: 'esm' },
  })
  const bytes = Buffer.from(output[0].code)
  process.stdout.write(`${name}: ${kb(bytes.length)} minified, ${kb(gzipSync(bytes).length)} gzipped\n`)
}
