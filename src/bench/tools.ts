/** The C upstream and load client, where their sources are; building them takes a second. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const SOURCES = join(import.meta.dirname, '../../../shared/load')

export interface Quantiles {
  readonly p50: number
  readonly p99: number
}

/** One line of the load client; times in µs. */
export interface Measured {
  readonly reqs: number
  readonly rps: number
  readonly tokens: number
  readonly tok_s: number
  readonly errors: Readonly<Record<string, number>>
  readonly ttft?: Quantiles
  readonly lat?: Quantiles
  readonly e2e?: Quantiles
  readonly cpu_us_per_tok?: number
  readonly cpu_us_per_req?: number
  readonly cpu_pct?: number
  readonly rss_kb?: number
  /** Connections open at the end. */
  readonly open?: number
}

export interface Tools {
  readonly upstream: string
  readonly load: string
}

/** Null where the sources, or a compiler, are missing. */
export function buildTools(): Tools | null {
  if (!existsSync(SOURCES) || spawnSync('cc', ['--version']).status !== 0) return null
  const dir = mkdtempSync(join(tmpdir(), 'sluice-bench-tools-'))
  cpSync(SOURCES, dir, { recursive: true })
  execFileSync('make', ['-s', '-C', dir])
  return { upstream: join(dir, 'build/upstream'), load: join(dir, 'build/load') }
}

const TASKSET = spawnSync('taskset', ['--version']).status === 0
/** Real-time priority, where we may: other work on the machine then does not tell. */
const CHRT = TASKSET && spawnSync('chrt', ['-r', '1', 'true']).status === 0

/** Server on one core, tools on the other: a server is then measured by its own CPU alone. */
export const pinned = (core: 0 | 1, command: string, args: readonly string[]): [string, string[]] =>
  TASKSET
    ? ['taskset', ['-c', String(core), ...(CHRT ? ['chrt', '-r', '1'] : []), command, ...args]]
    : [command, [...args]]

export function runLoad(tools: Tools, args: readonly string[]): Promise<Measured> {
  const [command, all] = pinned(1, tools.load, args)
  return new Promise((resolve, reject) => {
    const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (part: Buffer) => (text += part.toString()))
    child.on('exit', () => {
      try {
        resolve(JSON.parse(text) as Measured)
      } catch {
        reject(new Error(`the load client printed no figures: ${text.slice(0, 200)}`))
      }
    })
  })
}

/** User and system CPU of a process with all its threads, ms. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

export const rssMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
