/** The keys that a start needs: the operator's, and the first one for clients. */
import { rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { ADMIN_KEY, API_KEY, keepSecret, readSecret } from '../config/secret-file.ts'
import type { Clock } from '../core/clock.ts'
import type { Ids } from '../core/ids.ts'
import type { ApiKey, Keys } from '../core/ports/keys.ts'
import { locate } from '../engines/embedded/disk/folder.ts'
import { digestOf, hintOf, mintKey } from '../gateway/caller/api-key.ts'

/** As configured; else made at the first start and kept where only this user can read it, for the command line. */
export function adminKey(config: Config, ids: Ids): string {
  if (config.admin.key !== null) return config.admin.key.reveal()
  const make = (): string => `sluice-admin-${Buffer.from(ids.random(32)).toString('base64url')}`
  if (config.engine === 'embedded' && config.durability === 'memory') return make()
  locate(config.dataDir)
  return keepSecret(join(config.dataDir, 'admin.key'), ADMIN_KEY, make)
}

/** The name of keys that a start was given. */
const SEEDED = 'given at the start'

/**
 * Makes a key where there is none yet; else null. `file`: where it is kept before it is valid, so that no crash loses
 * it. Absent: it is only shown.
 */
export async function firstKey(keys: Keys, file: string | undefined, clock: Clock, ids: Ids): Promise<string | null> {
  if ((await keys.list()).length > 0) return null
  const make = (): string => mintKey(ids).key
  if (file !== undefined) locate(dirname(file))
  const isKept = file !== undefined && readSecret(file, API_KEY) !== null
  const key = file === undefined ? make() : keepSecret(file, API_KEY, make)
  const digest = digestOf(key)
  if (await keys.addFirst(newKey('first start', key, clock, ids), digest)) return key
  // Another process was first: with the key of the same file, or with one of its own
  if (file !== undefined && !isKept && keys.find(digest) === null) rmSync(file, { force: true })
  return null
}

/**
 * Adds the key that the operator gave (SLUICE_KEY). It replaces those given to earlier starts: whoever changes it wants
 * the old one to stop working. Resolves with what people should read about it.
 */
export async function givenKey(keys: Keys, key: string, clock: Clock, ids: Ids): Promise<readonly string[]> {
  const known = await keys.list()
  const digest = digestOf(key)
  const found = keys.find(digest)
  if (found?.revokedAtMs !== undefined)
    return [`SLUICE_KEY is a key that was revoked (${found.id}), and stays so: choose another one.`]
  if (found === null) await keys.add(newKey(SEEDED, key, clock, ids), digest)
  const notes: string[] = []
  for (const old of known) {
    if (old.name !== SEEDED || old.revokedAtMs !== undefined || old.id === found?.id) continue
    await keys.revoke(old.id, clock.wallMs())
    notes.push(`SLUICE_KEY has changed: the key of earlier starts (${old.hint}, ${old.id}) is revoked.`)
  }
  return notes
}

const newKey = (name: string, key: string, clock: Clock, ids: Ids): ApiKey => ({
  id: ids.name('key', 8),
  tenant: 'default',
  name,
  hint: hintOf(key),
  createdAtMs: clock.wallMs(),
})
