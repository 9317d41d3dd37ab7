import { describe, expect, it } from 'vitest'
import { Chain, type Link, Slots, Table } from './table.ts'

/** Reproducible, and different enough. */
function* numbers(seed: number): Generator<number> {
  for (let n = seed; ; n = (n * 1_103_515_245 + 12_345) & 0x7fffffff) yield n >>> 8
}

describe('a table', () => {
  it('does as a Map does, in the same order', () => {
    const [table, map] = [new Table<string, { readonly n: number }>(), new Map<string, { readonly n: number }>()]
    const random = numbers(7)
    for (let step = 0; step < 20_000; step++) {
      const key = `k${random.next().value! % 50}`
      const value = { n: step }
      if (random.next().value! % 3 > 0) {
        table.set(key, value)
        map.set(key, value)
      } else expect(table.delete(key)).toBe(map.delete(key))
      expect(table.get(key)).toBe(map.get(key))
      expect(table.has(key)).toBe(map.has(key))
      expect(table.size).toBe(map.size)
      if (step % 500 === 0) {
        expect([...table.entries()]).toEqual([...map.entries()])
        expect([...table.values()]).toEqual([...map.values()])
        expect([...table.keys()]).toEqual([...map.keys()])
      }
    }
  })
})

describe('slots', () => {
  it('give each item a place that stays its own, and use places again', () => {
    const slots = new Slots<string>()
    const [a, b, c] = ['a', 'b', 'c'].map((each) => slots.add(each))
    expect(slots.delete(b, 'b')).toBe(true)
    expect([slots.get(a), slots.get(c), slots.size]).toEqual(['a', 'c', 2])
    expect(slots.add('d')).toBe(b)
    expect([...slots].sort()).toEqual(['a', 'c', 'd'])
  })

  it("never remove another's item: who leaves twice leaves once", () => {
    const slots = new Slots<string>()
    const place = slots.add('first')
    expect(slots.delete(place, 'first')).toBe(true)
    expect(slots.delete(place, 'first')).toBe(false)
    expect(slots.add('second')).toBe(place)
    expect(slots.delete(place, 'first')).toBe(false)
    expect(slots.get(place)).toBe('second')
  })

  it('are looked at while items come and go', () => {
    const slots = new Slots<{ readonly n: number; place: number }>()
    const items = Array.from({ length: 10 }, (_, n) => ({ n, place: -1 }))
    for (const item of items) item.place = slots.add(item)
    const seen: number[] = []
    for (const { n } of slots) {
      seen.push(n)
      for (const gone of [items[n], items[(n + 1) % 10]]) slots.delete(gone.place, gone)
    }
    expect(seen).toEqual([0, 2, 4, 6, 8])
    expect(slots.size).toBe(0)
  })
})

describe('a chain', () => {
  interface Item {
    readonly n: number
    readonly link: Link<Item>
  }
  const item = (n: number): Item => ({ n, link: { before: null, after: null } })

  it('does as a Set does, in the same order', () => {
    const [chain, set] = [new Chain<Item>(), new Set<Item>()]
    const items = Array.from({ length: 20 }, (_, n) => item(n))
    const random = numbers(11)
    for (let step = 0; step < 20_000; step++) {
      const one = items[random.next().value! % items.length]
      if (random.next().value! % 2 === 0) {
        chain.add(one)
        set.add(one)
      } else expect(chain.delete(one)).toBe(set.delete(one))
      expect(chain.has(one)).toBe(set.has(one))
      expect(chain.first).toBe(set.values().next().value ?? null)
      if (step % 500 === 0) expect([...chain]).toEqual([...set])
    }
  })

  it('keeps nothing alive through one that left', () => {
    const chain = new Chain<Item>()
    const [a, b, c] = [0, 1, 2].map(item)
    for (const each of [a, b, c]) chain.add(each)
    chain.delete(b)
    expect(b.link).toEqual({ before: null, after: null })
    expect([...chain]).toEqual([a, c])
  })
})
