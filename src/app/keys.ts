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

/** The name of keys that a start was given, until it is changed. */
const SEEDED = 'given at the start'
/** Those of older versions are known by their name alone. */
const isSeeded = ({ seeded, name }: ApiKey): boolean => seeded === true || name === SEEDED

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
  if (found === null) await keys.add({ ...newKey(SEEDED, key, clock, ids), seeded: true }, digest)
  else if (found.seeded === undefined && isSeeded(found))
    await keys.change(found.id, (now) => ({ ...now, seeded: true }))
  const notes = found === null ? [] : notesOf(found, keys.get(found.id) ?? found, clock.wallMs())
  for (const old of known) {
    const isEnded = old.revokedAtMs !== undefined || old.replacedAtMs !== undefined
    if (!isSeeded(old) || isEnded || old.id === found?.id) continue
    await keys.revoke(old.id, clock.wallMs())
    notes.push(`SLUICE_KEY has changed: the key of earlier starts (${old.id}) is revoked.`)
  }
  return notes
}

/** Why it is refused, or soon will be. `now`: the same key with its newest secret. */
function notesOf({ id, replacedAtMs, expiresAtMs: endsAtMs = Infinity }: ApiKey, now: ApiKey, nowMs: number): string[] {
  const keyEndsAtMs = now.expiresAtMs ?? Infinity
  if (keyEndsAtMs <= nowMs)
    return [`SLUICE_KEY is a key that has expired (${id}): change its expiry, or choose another one.`]
  if (replacedAtMs === undefined) return []
  const end = Math.min(endsAtMs, keyEndsAtMs)
  const until = end > nowMs ? `is good until ${new Date(end).toISOString()} only` : 'is good no more'
  return [`SLUICE_KEY is an earlier secret of a key that was rotated (${id}), and ${until}: give the newest one.`]
}

const newKey = (name: string, key: string, clock: Clock, ids: Ids): ApiKey => ({
  id: ids.name('key', 8),
  tenant: 'default',
  name,
  hint: hintOf(key),
  createdAtMs: clock.wallMs(),
})
