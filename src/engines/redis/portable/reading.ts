/** What the sources of a shard share. */
import type { Item } from '../../../core/ports/portable.ts'
import { NO_BLOB } from '../../shared/portable/kinds.ts'
import { storageError } from '../client/errors.ts'
import type { Shard } from './hold.ts'

export const ROWS_AT_ONCE = 100

export type Damaged = (detail: string) => void

/** What Redis or its client throws, as an error of the table. */
export async function asked<T>(shard: Shard, ask: (shard: Shard) => Promise<T>): Promise<T> {
  shard.expectHeld()
  try {
    return await ask(shard)
  } catch (error) {
    throw storageError(error)
  }
}

export const plain = <T extends object>(value: T): Item<T> => ({ value, blob: NO_BLOB })
export const byText = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
