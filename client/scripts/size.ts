/** What the library weighs in a page: npm run size -w client */
import { gzipSync } from 'node:zlib'
import { build } from 'rolldown'

const { output } = await build({
  input: new URL('../src/index.ts', import.meta.url).pathname,
  write: false,
  output: { minify: true, format: 'esm' },
})
const bytes = Buffer.from(output[0].code)
const kb = (n: number): string => `${(n / 1000).toFixed(1)} kB`
process.stdout.write(`@sluice/client: ${kb(bytes.length)} minified, ${kb(gzipSync(bytes).length)} gzipped\n`)
