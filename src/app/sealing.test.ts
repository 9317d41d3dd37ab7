import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { systemIds } from '../core/ids.ts'
import { Secret } from '../settings/fields.ts'
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
