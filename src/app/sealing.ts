/**
 * Secrets that are stored sealed: AES-256-GCM, by a key that is not in the store. What a secret is for is part of the
 * seal: a sealed text that is moved to another place does not open there.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { keepSecret, readSecret, SEALING_KEY } from '../config/secret-file.ts'
import { SluiceError } from '../core/errors.ts'
import type { Ids } from '../core/ids.ts'
import { locate } from '../engines/embedded/disk/folder.ts'

export interface Sealer {
  /** `about`: what it is for. Throws config_invalid where there is no key to seal with. */
  seal(secret: string, about: string): string
  /** The same sealed text each time: who has two knows whether they hold the same. Throws as `seal`. */
  sealAlike(secret: string, about: string): string
  /** Null: it was sealed by another key, for something else, or is damaged. Throws as `seal`. */
  open(sealed: string, about: string): string | null
  /** The same secret, sealed by the key of today; `sealed` itself where it is. Null and throws as `open`. */
  resealed(sealed: string, about: string): string | null
}

const [NONCE_BYTES, TAG_BYTES, KEY_BYTES] = [12, 16, 32]
const PREFIX = 'v1.'
const FILE = 'sealing.key'

/** Keys are looked for when they are first needed: most servers keep no such secrets. */
export function createSealer(config: SealerConfig, ids: Ids): Sealer {
  let [known, older]: [Buffer | null, readonly Buffer[] | null] = [null, null]
  let nonces: Buffer | null = null
  const key = (isMade: boolean): Buffer => (known ??= derived(keyText(config, ids, isMade)))
  const before = (): readonly Buffer[] => (older ??= textsBefore(config).map(derived))

  function open(sealed: string, about: string): { readonly secret: string; readonly isOfToday: boolean } | null {
    // Where older ones are given, there may be none yet
    const secret = openedBy(key(before().length > 0), sealed, about)
    if (secret !== null) return { secret, isOfToday: true }
    for (const one of before()) {
      const secret = openedBy(one, sealed, about)
      if (secret !== null) return { secret, isOfToday: false }
    }
    return null
  }
  /** A nonce must never come twice with different texts: it is random, or a digest of all that is sealed. */
  function sealWith(nonce: Uint8Array, secret: string, about: string): string {
    const cipher = createCipheriv('aes-256-gcm', key(true), nonce).setAAD(Buffer.from(about))
    const text = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
    return PREFIX + Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64url')
  }
  const seal = (secret: string, about: string): string => sealWith(ids.random(NONCE_BYTES), secret, about)
  return {
    seal,
    sealAlike(secret, about) {
      nonces ??= Buffer.from(hkdfSync('sha256', key(true), '', 'sluice nonces', KEY_BYTES))
      const digest = createHmac('sha256', nonces)
        .update(JSON.stringify([about, secret]))
        .digest()
      return sealWith(digest.subarray(0, NONCE_BYTES), secret, about)
    },
    open: (sealed, about) => open(sealed, about)?.secret ?? null,
    resealed(sealed, about) {
      const opened = open(sealed, about)
      return opened === null || opened.isOfToday ? opened && sealed : seal(opened.secret, about)
    },
  }
}

type SealerConfig = Pick<Config, 'secretKey' | 'secretKeyBefore' | 'engine' | 'durability' | 'dataDir'>

const derived = (text: string): Buffer => Buffer.from(hkdfSync('sha256', text, '', 'sluice sealed secrets', KEY_BYTES))

function openedBy(key: Buffer, sealed: string, about: string): string | null {
  if (!sealed.startsWith(PREFIX)) return null
  const bytes = Buffer.from(sealed.slice(PREFIX.length), 'base64url')
  const [nonce, tag] = [bytes.subarray(0, NONCE_BYTES), bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)]
  if (tag.length < TAG_BYTES) return null
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(about)).setAuthTag(tag)
  try {
    return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
  } catch {
    return null
  }
}

/** By what was sealed before: the setting's, and the data folder's where a `secret_key` has taken its place. */
function textsBefore({ secretKey, secretKeyBefore, engine, durability, dataDir }: SealerConfig): readonly string[] {
  const given = secretKeyBefore === null ? [] : [secretKeyBefore.reveal()]
  if (secretKey === null || engine !== 'embedded' || durability === 'memory') return given
  const kept = readSecret(join(dataDir, FILE), SEALING_KEY)
  return kept === null ? given : [...given, kept]
}

/** `isMade`: one is made where none is; what was sealed before would not open by it. */
function keyText({ secretKey, engine, durability, dataDir }: SealerConfig, ids: Ids, isMade: boolean): string {
  if (secretKey !== null) return secretKey.reveal()
  if (engine !== 'embedded')
    throw new SluiceError('config_invalid', {
      status: 422,
      message:
        'All processes of a fleet need the same key to seal secrets with: set SLUICE_SECRET_KEY (secret_key) ' +
        'for each, e.g. to the output of "openssl rand -hex 32".',
    })
  const make = (): string => SEALING_KEY.prefix + Buffer.from(ids.random(KEY_BYTES)).toString('base64url')
  if (durability === 'memory') return make()
  const path = join(dataDir, FILE)
  locate(dataDir)
  if (isMade) return keepSecret(path, SEALING_KEY, make)
  const kept = readSecret(path, SEALING_KEY)
  if (kept !== null) return kept
  throw new SluiceError('config_invalid', {
    status: 422,
    message: `${path} is gone: put it back, or set the sealed keys again.`,
  })
}
