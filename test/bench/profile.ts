/**
 * Where the time goes, by perf (all threads, the kernel included). V8's own sampler is no help here: under load on one
 * core its thread starves, and it sees neither the kernel nor the other threads.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Priority, pinned } from './tools.ts'

/** V8 then names what it compiled, and keeps frame pointers. */
export const PROFILED = ['--perf-basic-prof-only-functions']
export const hasPerf = (): boolean => spawnSync('perf', ['--version']).status === 0

const PARTS = [
  'JavaScript and builtins',
  'JSON, strings, buffers in C++',
  'garbage collection, main thread',
  'V8 helper threads (GC, JIT)',
  'SQLite on the loop',
  'HTTP parser',
  'libuv and epoll',
  'socket read and write (kernel)',
  'disk thread',
  'other kernel',
  'other',
] as const
type Part = (typeof PARTS)[number]

export interface Profile {
  /** Samples by part. */
  readonly parts: ReadonlyMap<Part, number>
  /** The functions that took most, with their share. */
  readonly top: ReadonlyArray<readonly [string, number]>
  readonly samples: number
}

/** Samples the process for so many seconds, from now. */
export async function profileFor(priority: Priority, pid: number, seconds: number): Promise<Profile> {
  const file = join(tmpdir(), `sluice-perf-${pid}.data`)
  try {
    const what = ['-q', '-F', '997', '-e', 'cpu-clock', '-p', String(pid), '-o', file]
    await promisify(execFile)(...pinned(1, priority, 'perf', ['record', ...what, '--', 'sleep', String(seconds)]))
    const text = execFileSync('perf', ['script', '-i', file, '-F', 'comm,tid,ip,sym,dso'], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return summed(text, pid, workersOf(pid))
  } finally {
    rmSync(file, { force: true })
  }
}

/** Threads that run JavaScript besides the main one: the disk's. */
function workersOf(pid: number): ReadonlySet<number> {
  const all = readdirSync(`/proc/${pid}/task`).map(Number)
  return new Set(
    all.filter((tid) => {
      const name = readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim()
      return tid !== pid && !name.startsWith('V8') && !name.startsWith('libuv') && !name.startsWith('Signal')
    }),
  )
}

function summed(text: string, pid: number, workers: ReadonlySet<number>): Profile {
  const parts = new Map<Part, number>(PARTS.map((part) => [part, 0]))
  const functions = new Map<string, number>()
  let samples = 0
  for (const line of text.split('\n')) {
    const found = /^\s*(.+?)\s+(\d+)\s+[0-9a-f]+\s+(.*) \((.*)\)$/.exec(line)
    if (found === null) continue
    const [, comm, tid, symbol, dso] = found
    const part = partOf(comm, Number(tid), symbol, dso, pid, workers)
    parts.set(part, parts.get(part)! + 1)
    const name = symbol.replace(/^(JS:)?[~*^+']*/, '').replace(/ \/\S*\/(?=[^/]*$)/, ' ')
    functions.set(name, (functions.get(name) ?? 0) + 1)
    samples++
  }
  const top = [...functions].sort((a, b) => b[1] - a[1]).slice(0, 40)
  return { parts, top: top.map(([name, n]) => [name, n / samples] as const), samples }
}

function partOf(
  comm: string,
  tid: number,
  symbol: string,
  dso: string,
  pid: number,
  workers: ReadonlySet<number>,
): Part {
  if (workers.has(tid)) return 'disk thread'
  if (tid !== pid) return comm.startsWith('V8') ? 'V8 helper threads (GC, JIT)' : 'other'
  if (dso.includes('kernel') || dso.includes('kallsyms')) {
    if (/tcp|sock|skb|inet|ip_|net|send|recv|nf_|fib|loopback|writev|vfs_write|vfs_read/.test(symbol))
      return 'socket read and write (kernel)'
    return /epoll|poll/.test(symbol) ? 'libuv and epoll' : 'other kernel'
  }
  if (symbol.startsWith('JS:') || symbol.startsWith('Builtins_') || dso.includes('perf-') || dso.includes('anon'))
    return 'JavaScript and builtins'
  if (/sqlite|pager|btree|^wal|vdbe|pcache/i.test(symbol)) return 'SQLite on the loop'
  if (/llhttp|node::.*Parser/.test(symbol)) return 'HTTP parser'
  if (/^uv_|uv__|epoll/.test(symbol)) return 'libuv and epoll'
  if (/Scaveng|Mark(ing|Compact)|Heap::|Sweep|Evacuat|GCTracer|Allocate|RememberedSet|PagedSpace|NewSpace/.test(symbol))
    return 'garbage collection, main thread'
  if (symbol.startsWith('v8::') || symbol.startsWith('node::') || /mem(cpy|move|set|chr)|simd/.test(symbol))
    return 'JSON, strings, buffers in C++'
  return 'other'
}

export interface Profiled {
  readonly name: string
  readonly profile: Profile
  /** CPU µs for each token or call, as measured without perf in the same rounds. */
  readonly us: number
}

export function profileTable(load: string, all: readonly Profiled[]): string {
  const share = ({ profile: { parts, samples } }: Profiled, part: Part): number => parts.get(part)! / samples
  return [
    `| ${load} | ${all.map(({ name, us }) => `${name}: ${us.toFixed(1)} µs`).join(' | ')} |`,
    `| --- |${' --- |'.repeat(all.length)}`,
    ...PARTS.map(
      (part) =>
        `| ${part} | ${all
          .map((each) => `${(share(each, part) * 100).toFixed(1)} %, ${(share(each, part) * each.us).toFixed(1)}`)
          .join(' | ')} |`,
    ),
  ].join('\n')
}
