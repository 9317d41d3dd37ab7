#!/usr/bin/env node
/** The command line, as a process: signals, streams and the exit code. What it does: run.ts. */
import './signals.ts'
import { EXIT, type Output } from './command.ts'
import { withoutControls } from './pretty.ts'
import { run } from './run.ts'

const out: Output = {
  print: (line) => void process.stdout.write(`${withoutControls(line)}\n`),
  write: (text) => void process.stdout.write(text),
  note: (line) => void process.stderr.write(`${withoutControls(line)}\n`),
}

// A reader that has enough (`| head`) is no error. A server does not write here: sink.ts
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok)
  throw error
})
process.stderr.on('error', () => {})
// The clock's timers don't keep a process alive; a running command does
const awake = new MessageChannel().port1
awake.ref()
process.exitCode = await run(process.argv.slice(2), out)
awake.close()
