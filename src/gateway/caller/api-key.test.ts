import { expect, it } from 'vitest'
import { systemIds } from '../../core/ids.ts'
import { digestOf, hintOf, isWellFormed, mintKey, shortHint, shownHint } from './api-key.ts'

const ids = systemIds()

it('mints keys that check, and are all different', () => {
  const keys = Array.from({ length: 200 }, () => mintKey(ids))
  expect(new Set(keys.map((k) => k.key)).size).toBe(200)
  for (const { key, digest, hint } of keys) {
    expect(key).toMatch(/^sk-sluice-[0-9A-Za-z]{49}$/)
    expect(isWellFormed(key)).toBe(true)
    expect(digest).toBe(digestOf(key))
    expect(digest).toMatch(/^[\w-]{43}$/)
    expect(hint).toBe(hintOf(key))
    expect(hint).toHaveLength(15)
  }
})

it('knows every slip of one character, and every swap of neighbours', () => {
  const { key } = mintKey(ids)
  for (let i = 10; i < key.length; i++) {
    expect(isWellFormed(key.slice(0, i) + (key[i] === 'x' ? 'y' : 'x') + key.slice(i + 1)), `character ${i}`).toBe(
      false,
    )
    if (i + 1 < key.length && key[i] !== key[i + 1])
      expect(isWellFormed(key.slice(0, i) + key[i + 1] + key[i] + key.slice(i + 2)), `swap at ${i}`).toBe(false)
  }
})

it.each(['', 'sk-sluice-', 'sk-other', `${mintKey(ids).key} `, `${mintKey(ids).key}\n`, mintKey(ids).key.slice(0, -1)])(
  'is not one: %j',
  (text) => {
    expect(isWellFormed(text)).toBe(false)
  },
)

it('shows nothing of a key that somebody chose, whatever an older version has stored of it', () => {
  const { key, hint } = mintKey(ids)
  const stored = { id: 'k', tenant: 'default', name: '', createdAtMs: 0 }
  expect(hintOf(key)).toBe(`${key.slice(0, 14)}…`)
  for (const chosen of ['Zx8Qw3Lp0Vb7Nm2K', 'sk-sluice-abcdef', 'sk-sluice-a-key-for-this-test']) {
    expect(hintOf(chosen)).toBe('…')
    const old = { ...stored, hint: `${chosen.slice(0, 14)}…`, seeded: true as const }
    expect(shownHint(old)).toBe('…')
    // Its new secret is one of ours
    expect(shownHint({ ...old, hint, generation: 1 })).toBe(hint)
  }
  expect(shownHint({ ...stored, hint: 'Zx8Qw3Lp0Vb7Nm…' })).toBe('…')
  expect(shownHint({ ...stored, hint })).toBe(hint)
  expect([shortHint('Zx8Qw3Lp0Vb7Nm…'), shortHint('…'), shortHint(`${key.slice(0, 30)}…`)]).toEqual(['…', '…', hint])
})
