#!/usr/bin/env node
// Plain old JavaScript, so that an old Node can read it far enough to say what is wrong.
import { existsSync } from 'node:fs'

const major = Number(process.versions.node.split('.')[0])
if (major < 24) {
  console.error(`Sluice needs Node 24 or newer; this is ${process.version}. Get it from https://nodejs.org`)
  process.exitCode = 2
} else {
  // A clone runs its sources; the package runs what was built from them
  const source = new URL('../src/cli/main.ts', import.meta.url)
  import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href)
}
