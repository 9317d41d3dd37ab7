import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { systemIds } from '../core/ids.ts'
import { Secret } from '../settings/fields.ts'
import { sealingForClients } from './kept-by-clients.ts'
import { createSealer } from './sealing.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-seal-'))
afterAll(() => rmSync(dir, { recursive: true }))
const ids = systemIds()
const secret = (value: string): Secret => {
  const made = new Secret({ env: 'K' })
  made.resolve({ env: () => value, file: () => '' })
  return made
}
const CONFIG = {
  secretKey: null,
  secretKeyBefore: null,
  engine: 'embedded',
  durability: 'power',
  dataDir: join(dir, 'data'),
} as const

it('opens what was sealed, for what it was sealed for, and by no other key', () => {
  const one = createSealer({ ...CONFIG, secretKey: secret('a first key of 24 characters') }, ids)
  const other = createSealer({ ...CONFIG, secretKey: secret('another key of 24 characters') }, ids)
  const sealed = one.seal('sk-canary', 'acme')
  expect(sealed).not.toContain('canary')
  expect(one.seal('sk-canary', 'acme')).not.toBe(sealed)
  expect(one.open(sealed, 'acme')).toBe('sk-canary')
  expect(one.open(sealed, 'bob')).toBeNull()
  expect(other.open(sealed, 'acme')).toBeNull()
})

it('what is damaged, cut or of another form does not open, and throws nothing', () => {
  const sealer = createSealer({ ...CONFIG, secretKey: secret('a first key of 24 characters') }, ids)
  const sealed = sealer.seal('sk-canary', 'a')
  for (let i = 0; i < sealed.length; i++) {
    expect(sealer.open(sealed.slice(0, i), 'a')).toBeNull()
    const flipped = sealed[i] === 'A' ? 'B' : 'A'
    // The last character may hold bits that are not read
    if (i < sealed.length - 1) expect(sealer.open(sealed.slice(0, i) + flipped + sealed.slice(i + 1), 'a')).toBeNull()
  }
  for (const text of ['', 'v1.', 'v2.abc', 'sk-canary', `${sealed}AAAA`]) expect(sealer.open(text, 'a')).toBeNull()
})

it('its key is a file of this user alone, made when it is needed, and the same after a restart', () => {
  const path = join(CONFIG.dataDir, 'sealing.key')
  const sealer = createSealer(CONFIG, ids)
  expect(existsSync(path)).toBe(false)
  const sealed = sealer.seal('sk-canary', 'a')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readFileSync(path, 'utf8')).toMatch(/^sluice-sealing-[\w-]{43}\n$/)
  expect(createSealer(CONFIG, ids).open(sealed, 'a')).toBe('sk-canary')
  rmSync(path)
  expect(() => createSealer(CONFIG, ids).open(sealed, 'a')).toThrow('sealing.key is gone: put it back')
  expect(existsSync(path)).toBe(false)
})

it('seals alike what is to be shown again, for one tenant, and what an older key sealed opens', () => {
  const [older, newer] = ['an-older-key-of-24-chars', 'a-newer-key-of-24-chars'].map(secret)
  const old = createSealer({ ...CONFIG, secretKey: older }, ids)
  const both = createSealer({ ...CONFIG, secretKey: newer, secretKeyBefore: older }, ids)
  const [clients, again, later] = [old, old, both].map(sealingForClients)
  const sealed = clients.seal('a canary', 'acme')!
  expect([again.seal('a canary', 'acme'), clients.open(sealed, 'acme')]).toEqual([sealed, 'a canary'])
  expect(Buffer.from(sealed.slice(3), 'base64url').toString()).not.toContain('canary')
  const nonces = [
    sealed,
    clients.seal('a canary', 'bob')!,
    clients.seal('a canarY', 'acme')!,
    later.seal('a canary', 'acme')!,
  ]
  expect(new Set(nonces.map((one) => one.slice(0, 19))).size).toBe(4)
  expect([clients.open(sealed, 'bob'), later.open(sealed, 'acme')]).toEqual([null, 'a canary'])
  expect(clients.open(old.seal('sk-canary', 'acme'), 'acme')).toBeNull()
})

it('seals nothing for clients where there is no key, and looks for one once', () => {
  const fleet = { ...CONFIG, engine: { redis: {} } } as unknown as typeof CONFIG
  expect(sealingForClients(createSealer(fleet, ids)).seal('s', 'a')).toBeNull()
  let looks = 0
  const lost = sealingForClients({
    sealAlike: () => 'v1.x',
    open() {
      looks++
      throw new Error('gone')
    },
  })
  expect([lost.open('v1.x', 'a'), lost.open('v1.x', 'a'), looks]).toEqual([null, null, 1])
  lost.seal('s', 'a')
  lost.open('v1.x', 'a')
  expect(looks).toBe(2)
})

it('a fleet must be given one', () => {
  const fleet = { ...CONFIG, engine: { redis: {} } } as unknown as typeof CONFIG
  expect(() => createSealer(fleet, ids).seal('sk-canary', 'a')).toThrow('set SLUICE_SECRET_KEY')
})

it('what an older key sealed opens, and is sealed anew: by the setting, and by the file of the data folder', () => {
  const [older, newer] = ['an-older-key-of-24-chars', 'a-newer-key-of-24-chars'].map(secret)
  const dataDir = join(dir, 'rotated')
  const old = createSealer({ ...CONFIG, dataDir, secretKey: older }, ids)
  const file = createSealer({ ...CONFIG, dataDir }, ids)
  const both = createSealer({ ...CONFIG, dataDir, secretKey: newer, secretKeyBefore: older }, ids)
  const today = createSealer({ ...CONFIG, dataDir: join(dir, 'elsewhere'), secretKey: newer }, ids)
  const sealedBefore = [old, file].map((before) => [before, before.seal('s', 'a')] as const)
  for (const [before, sealed] of sealedBefore) {
    expect([today.open(sealed, 'a'), both.open(sealed, 'a'), both.open(sealed, 'b')]).toEqual([null, 's', null])
    const anew = both.resealed(sealed, 'a')!
    expect([today.open(anew, 'a'), before.open(anew, 'a'), both.resealed(anew, 'a')]).toEqual(['s', null, anew])
    expect([both.resealed(sealed, 'b'), today.resealed(sealed, 'a')]).toEqual([null, null])
  }
})
