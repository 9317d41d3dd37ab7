import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Place, Progress } from './progress.ts'

const place = (offset: number, partition = 0, leaderEpoch = 0, atMs = 0): Place => ({
  topic: 't',
  partition,
  offset: BigInt(offset),
  leaderEpoch,
  timestamp: BigInt(atMs),
})
const offsets = (progress: Progress): Array<readonly [partition: number, offset: number]> =>
  progress.due().map(({ partition, offset }) => [partition, Number(offset)] as const)

describe('how far a partition may be committed', () => {
  it('up to the first message without a verdict, and told once', () => {
    const progress = new Progress()
    const done = [5, 6, 8].map((offset) => progress.begin(place(offset))!)
    done[1]()
    expect(offsets(progress)).toEqual([])
    done[0]()
    expect(offsets(progress)).toEqual([[0, 6]])
    expect(offsets(progress)).toEqual([])
    done[2]()
    expect(offsets(progress)).toEqual([[0, 8]])
  })

  it('partitions do not wait for each other', () => {
    const progress = new Progress()
    progress.begin(place(0, 0))
    progress.begin(place(0, 1))!()
    expect(offsets(progress)).toEqual([[1, 0]])
  })

  it('what is read again is under way, or done, already', () => {
    const progress = new Progress()
    const done = progress.begin(place(5))!
    expect(progress.begin(place(5))).toBeNull()
    done()
    expect(progress.begin(place(5))).toBeNull()
    expect(progress.begin(place(4))).toBeNull()
    expect(progress.begin(place(6))).not.toBeNull()
  })

  it.each([
    ['of a later leader', place(8, 0, 1)],
    ['published later', place(8, 0, 0, 5)],
  ])('what stands where a log was cut is new: %s', (_, another) => {
    const progress = new Progress()
    const done = [7, 8, 9, 10].map((offset) => progress.begin(place(offset, 0, 0, 4))!)
    for (const one of [1, 2, 3]) done[one]()
    // What was there before the cut comes again
    expect(progress.begin(place(7, 0, 0, 4))).toBeNull()
    const anew = [another, { ...another, offset: 9n }].map((each) => progress.begin(each)!)
    anew[1]()
    expect(offsets(progress)).toEqual([])
    done[0]()
    expect(offsets(progress)).toEqual([[0, 7]])
    anew[0]()
    expect(offsets(progress)).toEqual([[0, 9]])
  })

  it('of a log that was cut what was committed is taken back', () => {
    const progress = new Progress()
    for (const offset of [7, 8, 9]) progress.begin(place(offset))!()
    expect(offsets(progress)).toEqual([[0, 9]])
    const done = progress.begin(place(8, 0, 1))!
    expect(offsets(progress)).toEqual([[0, 7]])
    done()
    expect(offsets(progress)).toEqual([[0, 8]])
  })

  it('is right for verdicts in any order', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(Array.from({ length: 700 }, (_, i) => i)), (order) => {
        const progress = new Progress()
        const done = Array.from({ length: 700 }, (_, i) => progress.begin(place(i))!)
        const told = new Set<number>()
        for (const n of order) {
          done[n]()
          told.add(n)
          const [due] = offsets(progress)
          let first = 0
          while (told.has(first)) first++
          if (due !== undefined) expect(due[1]).toBe(first - 1)
          else expect(first === 0 || !told.has(n) || n > first).toBe(true)
        }
      }),
      { numRuns: 20 },
    )
  })
})
