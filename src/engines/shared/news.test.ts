import { expect, it } from 'vitest'
import type { ConversationNews } from '../../core/ports/conversations.ts'
import { News } from './news.ts'

const STANDING = { type: 'standing', info: null, lastTurn: null, jobs: [], places: new Map(), more: false } as const
const renamed = (n: number): ConversationNews => ({ type: 'renamed', name: String(n) })
const text = (news: ConversationNews): string => (news.type === 'renamed' ? news.name : news.type)

function news() {
  const turns: Array<() => void> = []
  const all: News = new News({ soon: (fn: () => void) => void turns.push(fn) } as never, () =>
    all.tell('t', 'c', STANDING),
  )
  /** One turn of the event loop. */
  const turn = async (): Promise<void> => {
    for (const fn of turns.splice(0)) fn()
    await new Promise<void>((done) => setImmediate(done))
  }
  const untilIdle = async (): Promise<void> => {
    while (turns.length > 0) await turn()
  }
  return { all, turn, untilIdle }
}

it('few changes are told at once, in order, to those who watched before them', async () => {
  const { all, untilIdle } = news()
  const told: string[] = []
  const stop = all.add('t', 'c', (n) => void told.push(`a${text(n)}`))
  all.tell('t', 'c', renamed(1))
  all.add('t', 'c', (n) => void told.push(`b${text(n)}`))
  all.tell('t', 'c', renamed(2))
  all.tell('t', 'other', renamed(3))
  stop()
  all.tell('t', 'c', renamed(4))
  expect(told).toEqual(['a1', 'a2', 'b2', 'b4'])
  await untilIdle()
  expect(told.length).toBe(4)
})

it('many watchers are told over several turns; of changes beyond number the state is told instead', async () => {
  const { all, turn, untilIdle } = news()
  const told: string[][] = Array.from({ length: 200 }, () => [])
  const count = (): number => told.reduce((sum, each) => sum + each.length, 0)
  for (const each of told) all.add('t', 'c', (n) => void each.push(text(n)))
  for (let n = 0; n < 1_000; n++) all.tell('t', 'c', renamed(n))
  let most = count()
  expect(most).toBeLessThanOrEqual(64)
  for (let before = most; ; before = count()) {
    await turn()
    most = Math.max(most, count() - before)
    if (count() === before) break
  }
  expect(most).toBeLessThanOrEqual(64)
  await untilIdle()
  for (const each of told) expect(each).toEqual(told[0])
  expect(told[0].length).toBeLessThan(250)
  expect(told[0]).toContain('standing')
  expect(told[0].at(-1)).toMatch(/^(standing|999)$/)
  all.tellAll('t', { type: 'deleted' })
  await untilIdle()
  expect(told.map((each) => each.at(-1))).toEqual(told.map(() => 'deleted'))
})

it('who comes while others are told hears only of what is new; one that fails harms nobody', async () => {
  const { all, untilIdle } = news()
  const told: string[] = []
  for (let i = 0; i < 100; i++) all.add('t', 'c', () => {})
  all.add('t', 'c', () => {
    throw new Error('its own fault')
  })
  all.tell('t', 'c', renamed(1))
  all.add('t', 'c', (n) => void told.push(text(n)))
  all.tell('t', 'c', renamed(2))
  await untilIdle()
  expect(told).toEqual(['2'])
})
