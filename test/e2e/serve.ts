/** `sluice serve` as a process of its own, as people start it: with its flags, its streams and its signals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bareEnvironment } from '../environment.ts'

export const BIN = join(import.meta.dirname, '../../bin/sluice.js')

export interface Ready {
  readonly url: string
  readonly admin_url: string
  readonly key_file: string | null
}
export interface Started {
  readonly child: ChildProcess
  readonly out: () => string
  readonly err: () => string
  readonly ready: () => Promise<Ready>
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>
}

const dir = mkdtempSync(join(tmpdir(), 'sluice-serve-'))
let folders = 0
export const freshFolder = (): string => join(dir, `data-${++folders}`)

const children: ChildProcess[] = []
/** Ends with the test. */
export function owned<T extends ChildProcess>(child: T): T {
  children.push(child)
  return child
}
export function killAll(): void {
  for (const child of children.splice(0)) child.kill('SIGKILL')
}
export const removeFolders = (): void => rmSync(dir, { recursive: true, force: true })

export interface Options {
  readonly folder?: string
  readonly args?: readonly string[]
  readonly env?: Record<string, string>
  readonly stdout?: 'pipe' | number
  readonly stderr?: 'pipe' | 'unread' | number
  readonly prefix?: readonly string[]
}

export function serve({
  folder = freshFolder(),
  args = [],
  env = {},
  stdout = 'pipe',
  stderr = 'pipe',
  prefix = [],
}: Options = {}): Started {
  const flags = ['--port', '0', '--data-dir', folder, ...args]
  const [command, ...rest] = [...prefix, process.execPath, BIN, 'serve', ...flags]
  const child = owned(
    spawn(command, rest, {
      env: { ...bareEnvironment(), SLUICE_DURABILITY: 'process', ...env },
      stdio: ['ignore', stdout, stderr === 'unread' ? 'pipe' : stderr],
    }),
  )
  let [out, err] = ['', '']
  child.stdout?.on('data', (d: Buffer) => (out += d.toString()))
  if (stderr === 'pipe') child.stderr?.on('data', (d: Buffer) => (err += d.toString()))
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  return {
    child,
    out: () => out,
    err: () => err,
    ended,
    async ready() {
      while (!out.includes('\n')) {
        if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${err}`)
        await sleep(10)
      }
      return JSON.parse(out.split('\n')[0]) as Ready
    },
  }
}

/** Without what a stop tells on a machine that is busy with other things. */
export const lines = (text: string): Array<Record<string, unknown>> =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.includes('"msg":"the stop no longer waits for this"'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
export const isAlive = async (url: string): Promise<boolean> => (await fetch(`${url}/livez`)).status === 200
