/** Python in the tests: an interpreter that has what is needed, and programs run by it. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bareEnvironment } from '../environment.ts'

export const ROOT = join(import.meta.dirname, '../..')

/** The one that has these packages: named by SLUICE_TEST_PYTHON, or python3. Undefined: neither. */
export const interpreterWith = (...packages: readonly string[]): string | undefined =>
  [process.env['SLUICE_TEST_PYTHON'], 'python3'].find(
    (name) => name && spawnSync(name, ['-c', packages.map((one) => `import ${one}`).join('\n')]).status === 0,
  )

export interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
  /** Its output, a JSON value a line; what is none as it is. */
  readonly lines: any[]
}

export interface Running {
  readonly done: Promise<Ran>
  /** Resolves once it has printed this; or once it has ended. */
  printed(text: string): Promise<void>
  /** What it has printed. */
  readonly out: () => string
  kill(): void
}

/** Starts a program with the package `sluice` of this repository. Killed after two minutes. */
export function start(
  python: string,
  program: string,
  env: Readonly<Record<string, string>>,
  input: string | null = null,
): Running {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-python-'))
  const file = join(folder, 'program.py')
  writeFileSync(file, program)
  const child = spawn(python, [file], {
    env: { ...bareEnvironment(), PYTHONPATH: join(ROOT, 'python/src'), PYTHONDONTWRITEBYTECODE: '1', ...env },
    stdio: [input === null ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: 120_000,
    killSignal: 'SIGKILL',
  })
  child.stdin?.end(input)
  let [out, err] = ['', '']
  const listeners = new Set<() => void>()
  child.stdout!.on('data', (data: Buffer) => {
    out += data.toString()
    for (const listener of listeners) listener()
  })
  child.stderr!.on('data', (data: Buffer) => (err += data.toString()))
  const done = new Promise<Ran>((resolve) =>
    child.once('close', (code) => {
      rmSync(folder, { recursive: true, force: true })
      for (const listener of listeners) listener()
      const lines = out.split('\n').filter(Boolean).map(parsed)
      resolve({ code, out, err, lines })
    }),
  )
  return {
    done,
    out: () => out,
    kill: () => void child.kill('SIGKILL'),
    printed: (text) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!out.includes(text) && child.exitCode === null && child.signalCode === null) return
          listeners.delete(look)
          resolve()
        }
        listeners.add(look)
        look()
      }),
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return line
  }
}
