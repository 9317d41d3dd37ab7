/** What signs jobs that wait in a broker, in a row of the database: it goes wherever that goes. */
import type { DatabaseSync } from 'node:sqlite'
import { secretBytes, secretText } from '../shared/intake-secret.ts'
import type { Store } from './disk/store.ts'

/** Its row in `meta`. */
export const INTAKE_SECRET = 'intake secret'

/** Base64url; null: there is none. */
export function readIntakeSecret(db: DatabaseSync): string | null {
  const row = db.prepare('SELECT value FROM meta WHERE key = ?').get(INTAKE_SECRET) as { value: string } | undefined
  return row?.value ?? null
}

/** The stored one, or what `own` gives, which is stored. Power-safe when resolved. */
export async function keepIntakeSecret(store: Store, own: () => Uint8Array): Promise<Uint8Array> {
  const stored = readIntakeSecret(store.db)
  if (stored !== null) return secretBytes(stored)
  const secret = own()
  const put = store.db.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)')
  await store.whileUp(store.run(() => void put.run(INTAKE_SECRET, secretText(secret)), true).then(() => store.synced()))
  return secret
}
