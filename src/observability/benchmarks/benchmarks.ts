/** Benchmarks in a folder, one file each; without a folder, in memory, as the text that was sent. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SluiceError } from '../../core/errors.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import type { Benchmarks, KeptBenchmark } from '../../core/ports/benchmarks.ts'

/** Older ones make room, by their number and without a folder by their size as well. */
export const MOST_BENCHMARKS = 50
const MOST_BYTES = 20_000_000
const FILE = /^bench_[0-9a-f]{8,64}\.json$/
/** Of each text that a list tells. */
const MAX_CHARS = 200

interface Kept extends KeptBenchmark {
  /** Null: in its file. A parsed body of 2 MB can take 30 MB of memory. */
  readonly text: string | null
}

export function createBenchmarks(folder: string | null): Benchmarks {
  /** The newest first. */
  let kept: Kept[] = []
  const read = once(async () => {
    if (folder === null) return
    const names = await readdir(folder).catch(() => [])
    const found: Kept[] = []
    // One after another: each is large while it is read
    for (const name of names.filter((each) => FILE.test(each))) {
      const one = await readKept(join(folder, name))
      if (one !== null) found.push({ ...one, body: headOf(one.body), text: null })
    }
    kept = found.sort((a, b) => b.atMs - a.atMs).slice(0, MOST_BENCHMARKS)
  })

  return {
    async add({ id, atMs, body }) {
      await read()
      const text = JSON.stringify({ id, atMs, body })
      if (folder !== null) await store(folder, id, text)
      kept = [{ id, atMs, body: headOf(body), text: folder === null ? text : null }, ...kept]
      const over = kept.splice(fitting(kept))
      if (folder !== null) for (const { id: old } of over) await rm(join(folder, `${old}.json`), { force: true })
    },
    async remove(id) {
      await read()
      const found = kept.find((one) => one.id === id)
      if (found === undefined) return false
      kept = kept.filter((one) => one !== found)
      if (folder !== null) await rm(join(folder, `${found.id}.json`), { force: true })
      return true
    },
    async list() {
      await read()
      return kept.map(({ id, atMs, body }) => ({ id, atMs, body }))
    },
    async get(id) {
      await read()
      const found = kept.find((one) => one.id === id)
      if (found === undefined) return null
      return found.text === null ? readKept(join(folder!, `${found.id}.json`)) : keptIn(found.text)
    },
  }
}

/** Whole, or not at all: a rest would take the last bytes that the store needs. */
async function store(folder: string, id: string, text: string): Promise<void> {
  const file = join(folder, `${id}.json`)
  try {
    await mkdir(folder, { recursive: true })
    await writeFile(`${file}.part`, text, { mode: 0o600 })
    await rename(`${file}.part`, file)
  } catch (error) {
    await rm(`${file}.part`, { force: true })
    throw (error as NodeJS.ErrnoException).code === 'ENOSPC' ? new SluiceError('storage_full') : error
  }
}

/** How many of them, the newest first, may stay. */
function fitting(kept: readonly Kept[]): number {
  let bytes = 0
  const count = kept.findIndex(({ text }, i) => {
    bytes += text?.length ?? 0
    return i > 0 && bytes > MOST_BYTES
  })
  return Math.min(MOST_BENCHMARKS, count < 0 ? MOST_BENCHMARKS : count)
}

/** What a list tells of it. */
function headOf(body: JsonRecord): JsonRecord {
  const texts = (from: JsonRecord, names: readonly string[]): JsonRecord =>
    Object.fromEntries(
      names.flatMap((name) => {
        const value = from[name]
        return typeof value === 'string' ? [[name, value.slice(0, MAX_CHARS)]] : []
      }),
    )
  const sides = ['before', 'after'].flatMap((name) => {
    const side = body[name]
    return isRecord(side) ? [[name, texts(side, ['label'])] as const] : []
  })
  return { ...texts(body, ['kind', 'label', 'sentence', 'verdict']), ...Object.fromEntries(sides) }
}

/** Null: it is damaged; it is left where it is. */
const readKept = (path: string): Promise<KeptBenchmark | null> => readFile(path, 'utf8').then(keptIn, () => null)

function keptIn(text: string): KeptBenchmark | null {
  try {
    const { id, atMs, body } = JSON.parse(text) as KeptBenchmark
    return typeof id === 'string' && typeof atMs === 'number' && isRecord(body) ? { id, atMs, body } : null
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
