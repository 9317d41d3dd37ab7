#!/usr/bin/env node
// Plain old JavaScript, so that an old Node can read it far enough to say what is wrong.
import { existsSync } from 'node:fs'
import { startFast } from './start-fast.js'

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(`Sluice needs Node 24 or newer; this is ${process.version}. Get it from https://nodejs.org`)
  process.exitCode = 2
} else {
  // A clone runs its sources; the package runs what was built from them
  const source = new URL('../src/cli/main.ts', import.meta.url)
  const main = existsSync(source) ? source : new URL('../dist/src/cli/main.js', import.meta.url)
  startFast()
  // Signals are handled while the rest is still being loaded
  import(new URL(main.href.replace(/main\.(ts|js)$/, 'signals.$1')).href).then(() => import(main.href))
}
