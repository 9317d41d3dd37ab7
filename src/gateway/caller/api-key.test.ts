import { expect, it } from 'vitest'
import { systemIds } from '../../core/ids.ts'
import { digestOf, hintOf, isWellFormed, mintKey } from './api-key.ts'

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
