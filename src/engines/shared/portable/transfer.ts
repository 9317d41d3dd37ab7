/** From one store to another, section by section: counted, checked on the way, and compared at the end. */
import { createHash } from 'node:crypto'
import { SluiceError } from '../../../core/errors.ts'
import type { Filling, Item, Kind, Sink, Source } from '../../../core/ports/portable.ts'
import type { Part } from './parts.ts'

/** What was moved, or found, of a kind. */
export interface Count {
  readonly section: string
  readonly items: number
  readonly bytes: number
  /** Of all that must be the same everywhere; '' where nobody asked. */
  readonly digest: string
}

/** Called now and then. */
export type Progress = (section: string, items: number) => void

const ITEMS_AT_ONCE = 256
const BYTES_AT_ONCE = 2 << 20
/** Items between two calls of `Progress`. */
const TOLD_EVERY = 1_024

/** Counts one section. */
class Tally {
  readonly #kind: Kind
  readonly #hash = createHash('sha256')
  readonly #withDigest: boolean
  #items = 0
  #bytes = 0

  constructor(kind: Kind, withDigest: boolean) {
    this.#kind = kind
    this.#withDigest = withDigest
  }

  get items(): number {
    return this.#items
  }

  add(item: Item): void {
    this.#items++
    this.#bytes += item.blob.length
    if (!this.#withDigest) return
    for (const each of this.#kind.same(item)) {
      this.#hash.update(`${each.length} `)
      this.#hash.update(each)
    }
  }

  get count(): Count {
    const { name } = this.#kind
    const digest = this.#withDigest ? this.#hash.digest('hex') : ''
    return { section: name, items: this.#items, bytes: this.#bytes, digest }
  }
}

/** What is there. `withDigest`: to be compared. */
export async function survey(
  sources: readonly Source[],
  withDigest: boolean,
  progress: Progress = () => {},
): Promise<readonly Count[]> {
  const counts: Count[] = []
  for (const { kind, read } of sources) {
    const tally = new Tally(kind, withDigest)
    for await (const item of read()) {
      tally.add(item)
      if (tally.items % TOLD_EVERY === 0) progress(kind.name, tally.items)
    }
    counts.push(tally.count)
  }
  return counts
}

/**
 * Fills the sinks. Rejects with config_invalid for a section that they don't know, or one of a later version, and with
 * storage_failed for an item that is not what it should be.
 */
export async function fill(
  parts: AsyncIterable<Part> | Iterable<Part>,
  sinks: readonly Sink[],
  target: string,
  progress: Progress = () => {},
): Promise<readonly Count[]> {
  const counts: Count[] = []
  let sink: Sink | null = null
  let tally: Tally | null = null
  let batch: Item[] = []
  let bytes = 0
  const flush = async (): Promise<void> => {
    if (batch.length > 0) await sink!.write(batch)
    batch = []
    bytes = 0
  }
  const end = async (): Promise<void> => {
    await flush()
    if (tally !== null) counts.push(tally.count)
  }
  for await (const part of parts) {
    if ('section' in part) {
      await end()
      sink = sinkOf(part, sinks, target)
      tally = new Tally(sink.kind, true)
      continue
    }
    const { value, blob } = part.item
    if (sink === null || tally === null || !sink.kind.fits(value, blob)) throw malformed(sink?.kind.name ?? '')
    tally.add(part.item)
    batch.push(part.item)
    bytes += blob.length
    if (batch.length >= ITEMS_AT_ONCE || bytes >= BYTES_AT_ONCE) await flush()
    if (tally.items % TOLD_EVERY === 0) progress(sink.kind.name, tally.items)
  }
  await end()
  return counts
}

function sinkOf({ section, version }: Extract<Part, { section: string }>, sinks: readonly Sink[], to: string): Sink {
  const sink = sinks.find(({ kind }) => kind.name === section)
  if (sink === undefined)
    throw new SluiceError('config_invalid', {
      message: `There is a section "${section}", which ${to} can't hold: use a version of Sluice that knows it.`,
    })
  if (version > sink.kind.version)
    throw new SluiceError('config_invalid', {
      message:
        `The section "${section}" was written by a newer Sluice (version ${version}; this one knows ` +
        `${sink.kind.version}). Use that version.`,
    })
  return sink
}

const malformed = (section: string): SluiceError =>
  new SluiceError('storage_failed', {
    message: `In the section "${section}" there is something that is not what it should be: nothing was kept.`,
  })

/** The sections that differ. Those without anything on either side don't. */
export function differences(one: readonly Count[], other: readonly Count[]): readonly string[] {
  const names = new Set([...one, ...other].map(({ section }) => section))
  const of = (counts: readonly Count[], name: string): Count | undefined =>
    counts.find(({ section, items }) => section === name && items > 0)
  return [...names].filter((name) => {
    const [a, b] = [of(one, name), of(other, name)]
    return a?.items !== b?.items || a?.digest !== b?.digest
  })
}

/**
 * Fills an empty store, compares what it then holds with what came, and only then hands it over. Rejects as `fill`, and
 * with storage_failed where they differ.
 */
export async function receive(
  parts: AsyncIterable<Part> | Iterable<Part>,
  to: Filling,
  progress: Progress = () => {},
): Promise<readonly Count[]> {
  const came = await fill(parts, to.sinks, to.name, progress)
  const found = await survey(to.sources, true, (section, items) => progress(`${section}, compared`, items))
  const different = differences(came, found)
  if (different.length > 0)
    throw new SluiceError('storage_failed', {
      message: `${to.name} does not hold what it was given (${different.join(', ')}): nothing was kept there.`,
    })
  await to.finish()
  return came
}
