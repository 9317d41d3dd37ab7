/** The C upstream and load client, where their sources are; building them takes a second. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
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
  readonly rss_kb?: number
  /** Connections open at the end. */
  readonly open?: number
  /** CPU of the server's process, all its threads, in each second of the measured window, µs. */
  readonly cpuUsPerS: number
}

/** How long a run of the load client takes, s. */
export interface Window {
  readonly ramp: number
  readonly warm: number
  readonly measured: number
}

export interface Tools {
  readonly upstream: string
  readonly load: string
}

/** Null where the sources, or a compiler, are missing. `built`: a folder that has them ready. */
export function buildTools(built?: string): Tools | null {
  if (built !== undefined) return { upstream: join(built, 'upstream'), load: join(built, 'load') }
  if (!existsSync(SOURCES) || spawnSync('cc', ['--version']).status !== 0) return null
  const dir = mkdtempSync(join(tmpdir(), 'sluice-bench-tools-'))
  cpSync(SOURCES, dir, { recursive: true })
  execFileSync('make', ['-s', '-C', dir])
  return { upstream: join(dir, 'build/upstream'), load: join(dir, 'build/load') }
}

/**
 * `raised` keeps other work on the machine out of the figures. `realtime` does so too, but there a thread that waits
 * for the core its sibling holds waits for the whole time slice (100 ms), which shows in the 99th percentiles.
 */
export type Priority = 'ordinary' | 'raised' | 'realtime'

const WITH: Readonly<Record<Priority, readonly string[]>> = {
  ordinary: [],
  raised: ['nice', '-n', '-10'],
  realtime: ['chrt', '-r', '1'],
}
const TASKSET = spawnSync('taskset', ['--version']).status === 0

/** Is it permitted? If not, nice prints a message and runs the command all the same. */
export function isAllowed(priority: Priority): boolean {
  if (!TASKSET) return priority === 'ordinary'
  const [command, ...args] = WITH[priority]
  if (command === undefined) return true
  const tried = spawnSync(command, [...args, 'true'])
  return tried.status === 0 && tried.stderr.length === 0
}

/** Server on one core, tools on the other: a server is then measured by its own CPU alone. */
export const pinned = (
  cores: number | string,
  priority: Priority,
  command: string,
  args: readonly string[],
): [string, string[]] =>
  TASKSET ? ['taskset', ['-c', String(cores), ...WITH[priority], command, ...args]] : [command, [...args]]

const later = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

/** The window is sampled from here: the load client counts CPU in ticks of 10 ms, too coarse for few streams. */
export async function runLoad(
  tools: Tools,
  priority: Priority,
  pid: number,
  window: Window,
  args: readonly string[],
): Promise<Measured> {
  return runLoadOver(tools, priority, [pid], window, args)
}

/** As `runLoad`, on a server that is several processes. */
export async function runLoadOver(
  tools: Tools,
  priority: Priority,
  pids: readonly number[],
  { ramp, warm, measured }: Window,
  args: readonly string[],
): Promise<Measured & { readonly cpuUsPerSOf: readonly number[] }> {
  const window = ['-R', String(ramp), '-w', String(warm), '-s', String(measured)]
  const [command, all] = pinned(1, priority, tools.load, [...args, '-P', pids.join(), ...window])
  const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (part: Buffer) => (text += part.toString()))
  const exit = new Promise<void>((done) => child.once('exit', () => done()))
  await later((ramp + warm) * 1000)
  const [before, startedAt] = [pids.map(cpuNs), performance.now()]
  await later(measured * 1000)
  const after = pids.map(cpuNs)
  const tookMs = performance.now() - startedAt
  const cpuUsPerSOf = after.map((ns, i) => (ns - before[i]) / tookMs)
  await exit
  try {
    const cpuUsPerS = cpuUsPerSOf.reduce((sum, us) => sum + us, 0)
    return { ...(JSON.parse(text) as Omit<Measured, 'cpuUsPerS'>), cpuUsPerS, cpuUsPerSOf }
  } catch {
    throw new Error(`the load client printed no figures: ${text.slice(0, 200)}`)
  }
}

/** CPU time of a process with all its threads, ns, by the scheduler's own accounts. */
export function cpuNs(pid: number): number {
  let sum = 0
  for (const [, ns] of threadsNs(pid)) sum += ns
  return sum
}

function* threadsNs(pid: number): Iterable<readonly [thread: string, ns: number]> {
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8')
      yield [thread, Number(stat.split(' ')[0])]
    } catch {
      // It ended meanwhile
    }
  }
}

/** The share of a core that the busiest thread of these processes takes until it is asked. */
export function busiest(pids: readonly number[]): () => number {
  const read = (): Map<string, number> => {
    const threads = new Map<string, number>()
    for (const pid of pids) for (const [thread, ns] of threadsNs(pid)) threads.set(thread, ns)
    return threads
  }
  const [before, startedAt] = [read(), performance.now()]
  return () => {
    const ns = [...read()].map(([thread, now]) => now - (before.get(thread) ?? 0))
    return Math.max(...ns) / 1e6 / (performance.now() - startedAt)
  }
}

export const rssMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
