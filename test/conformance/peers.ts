/** Processes that ask each other: who is there, who answers, who has left, and who is missing. */
import { expect } from 'vitest'
import { type About, MAX_ANSWER_BYTES, type Peer } from '../../src/core/ports/peers.ts'
import { type Case, eventually, type Opened } from './harness.ts'

interface Member {
  readonly opened: Opened
  readonly id: string
  /** "<id> <answer>", as they came. */
  readonly heard: string[]
  ask(question: string): Promise<readonly Peer[]>
}

/** Answers with its name and the question, in capitals. */
function member(opened: Opened, about: About, answer: (question: string) => string | null = () => null): Member {
  const { peers } = opened.engine
  const heard: string[] = []
  peers.join({
    about,
    answer: (question) => answer(question) ?? `${about.name}: ${question.toUpperCase()}`,
    heard: (from, text) => void heard.push(`${from} ${text}`),
  })
  return { opened, id: peers.self, heard, ask: (question) => peers.ask(question) }
}

const about = (name: string, role: About['role'] = 'all'): About => ({ name, role, seat: `seat of ${name}` })

/** Until all of them are listed by the first. */
async function listed(first: Member, ...others: readonly Member[]): Promise<void> {
  await eventually(async () => {
    expect((await first.ask('')).map(({ id }) => id).sort()).toEqual(others.map(({ id }) => id).sort())
  })
  first.heard.length = 0
}

export const peerCases: readonly Case[] = [
  {
    name: 'who is alone asks nobody, and is not its own peer',
    async run(open) {
      const only = member(await open(), about('only'))
      expect(await only.ask('anybody?')).toEqual([])
      expect(only.heard).toEqual([])
      expect(only.id).not.toBe('')
    },
  },
  {
    name: 'all others answer, to whoever asked alone',
    needs: 'fleet',
    async run(open) {
      const opened = await open()
      const a = member(opened, about('a', 'gateway'))
      const b = member(await opened.beside!(), about('b', 'worker'))
      const c = member(await opened.beside!(), about('c'))
      await listed(a, b, c)
      const asked = await a.ask('well, ünd?')
      expect(asked.toSorted((x, y) => x.name.localeCompare(y.name))).toEqual([
        { id: b.id, name: 'b', role: 'worker', absentMs: null },
        { id: c.id, name: 'c', role: 'all', absentMs: null },
      ])
      const told = [`${b.id} b: WELL, ÜND?`, `${c.id} c: WELL, ÜND?`]
      await eventually(() => expect(a.heard.filter((text) => text.endsWith('?')).sort()).toEqual(told.sort()))
      expect([...b.heard, ...c.heard]).toEqual([])
    },
  },
  {
    name: 'an answer that is too large is not heard; the next one is',
    needs: 'fleet',
    async run(open) {
      const opened = await open()
      const a = member(opened, about('a'))
      const b = member(await opened.beside!(), about('b'), (question) =>
        question === 'much' ? 'x'.repeat(MAX_ANSWER_BYTES + 1) : null,
      )
      await listed(a, b)
      await a.ask('much')
      await eventually(async () => {
        await a.ask('little')
        expect(a.heard).toContain(`${b.id} b: LITTLE`)
      })
      expect(a.heard.every((text) => text.length < 100)).toBe(true)
    },
  },
  {
    name: 'one that ends in order is not listed any more; one that is killed is missing, until another takes its seat',
    needs: 'fleet',
    async run(open) {
      const opened = await open()
      const a = member(opened, about('a'))
      const leaves = member(await opened.beside!(), about('leaves'))
      const dies = member(await opened.beside!(), about('dies'))
      await listed(a, leaves, dies)
      await leaves.opened.engine.close()
      const again = await dies.opened.reopen('kill')
      await eventually(async () =>
        expect(await a.ask('')).toEqual([
          { id: dies.id, name: 'dies', role: 'all', absentMs: expect.any(Number) as number },
        ]),
      )
      a.opened.clock.leap(5_000)
      await eventually(async () => expect((await a.ask(''))[0]?.absentMs).toBeGreaterThanOrEqual(4_000))
      await listed(a, member(again, about('dies')))
    },
  },
  {
    name: 'one that is cut off is missing, and is back when it is healed',
    needs: 'cut',
    async run(open) {
      const opened = await open()
      const a = member(opened, about('a'))
      const b = member(await opened.beside!(), about('b'))
      await listed(a, b)
      const heal = b.opened.cut!()
      await eventually(async () => expect((await a.ask(''))[0]?.absentMs).not.toBeNull())
      heal()
      await eventually(async () => {
        expect((await a.ask('here?'))[0]?.absentMs).toBeNull()
        expect(a.heard).toContain(`${b.id} b: HERE?`)
      })
    },
  },
]
