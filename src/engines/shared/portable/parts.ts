/** All sections of a store as one sequence. */
import type { Item, Source } from '../../../core/ports/portable.ts'

export type Part = { readonly section: string; readonly version: number } | { readonly item: Item }

export async function* partsOf(sources: readonly Source[]): AsyncGenerator<Part> {
  for (const { kind, read } of sources) {
    yield { section: kind.name, version: kind.version }
    for await (const item of read()) yield { item }
  }
}
