/** Benchmarks in a folder, one file each; without a folder, in memory. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmarks, KeptBenchmark } from '../../core/ports/benchmarks.ts'

/** Older ones make room: with 2 MB each, this is all that they may take. */
export const MOST_BENCHMARKS = 50
const FILE = /^bench_[0-9a-f]{8,64}\.json$/

export function createBenchmarks(folder: string | null): Benchmarks {
  /** The newest first. */
  let kept: KeptBenchmark[] = []
  const read = once(async () => {
    if (folder === null) return
    const names = await readdir(folder).catch(() => [])
    const found = await Promise.all(names.filter((name) => FILE.test(name)).map((name) => readKept(join(folder, name))))
    kept = found
      .filter((one) => one !== null)
      .sort((a, b) => b.atMs - a.atMs)
      .slice(0, MOST_BENCHMARKS)
  })

  return {
    async add(benchmark) {
      await read()
      kept = [benchmark, ...kept]
      const over = kept.splice(MOST_BENCHMARKS)
      if (folder === null) return
      await mkdir(folder, { recursive: true })
      const file = join(folder, `${benchmark.id}.json`)
      await writeFile(`${file}.part`, JSON.stringify(benchmark), { mode: 0o600 })
      await rename(`${file}.part`, file)
      for (const { id } of over) await rm(join(folder, `${id}.json`), { force: true })
    },
    async list() {
      await read()
      return kept
    },
    async get(id) {
      await read()
      return kept.find((one) => one.id === id) ?? null
    },
  }
}

/** Null: it is damaged; it is left where it is. */
async function readKept(path: string): Promise<KeptBenchmark | null> {
  try {
    const { id, atMs, body } = JSON.parse(await readFile(path, 'utf8')) as KeptBenchmark
    return typeof id === 'string' && typeof atMs === 'number' && typeof body === 'object' && body !== null
      ? { id, atMs, body }
      : null
  } catch {
    return null
  }
}

function once(task: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null
  return () => {
    running ??= task()
    return running
  }
}
