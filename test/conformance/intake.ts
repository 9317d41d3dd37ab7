/** What every intake must do (core/ports/intake.ts), on a broker that can be killed and started again. */
import { expect, test } from 'vitest'
import type { Delivery, Intake, Publication, Verdict } from '../../src/core/ports/intake.ts'

export interface IntakeOptions {
  readonly pools: readonly string[]
  readonly window: number
}

export interface DeadLetter {
  readonly payload: string
  readonly code: string
  readonly reason: string
}

/** A broker, empty at first, and processes that use it. */
export interface Rig {
  /** A process. Each has the same queues and topics of a pool. */
  open(options: IntakeOptions): Promise<Intake>
  /** It dies, without a word to its broker. */
  crash(intake: Intake): Promise<void>
  /** kill -9; what it had confirmed is still there at `startBroker`. */
  killBroker(): Promise<void>
  startBroker(): Promise<void>
  /** Cuts all connections, once. */
  cut(): Promise<void>
  /** Dead letters of a pool, oldest first. */
  dead(pool: string): Promise<readonly DeadLetter[]>
  close(): Promise<void>
}

const POOLS = { pools: ['text', 'image'], window: 50 } as const
const OWNED: Verdict = { kind: 'owned' }

export const message = (n: number, more: Partial<Publication> = {}): Publication => ({
  pool: 'text',
  key: 'lane',
  id: `m${n}`,
  payload: Buffer.from(`payload ${n}`),
  ...more,
})

const textOf = ({ payload }: Delivery): string => Buffer.from(payload).toString()
const numberOf = (delivery: Delivery): number => Number(textOf(delivery).split(' ')[1])
const upTo = (n: number, from = 0): number[] => Array.from({ length: n - from }, (_, i) => from + i)

/** Resolves when it is so, within 30 s; one that is late by then is never. */
async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (let left = 1_500; !(await what()); left--) {
    if (left === 0) throw new Error(`not within 30 s: ${what.toString()}`)
    await new Promise((go) => setTimeout(go, 20))
  }
}

/** As a client would: what was not confirmed is published again, in its turn. */
async function publishAll(intake: Intake, publications: readonly Publication[]): Promise<void> {
  for (const each of publications) {
    let left = 60
    for (;;)
      try {
        await intake.publish(each)
        break
      } catch (error) {
        expect(error).toMatchObject({ code: 'intake_unavailable' })
        if (--left === 0) throw error
        await new Promise((go) => setTimeout(go, 250))
      }
  }
}

/** Without what came before already: a broker may deliver twice. */
const firstTimes = (seen: readonly number[]): readonly number[] => [...new Set(seen)]

interface IntakeCase {
  readonly name: string
  run(rig: Rig): Promise<void>
}

export const intakeCases: readonly IntakeCase[] = [
  {
    name: 'what is published is delivered once, byte for byte, with its id, in the order of its key',
    async run(rig) {
      const intake = await rig.open(POOLS)
      const all = Uint8Array.from({ length: 256 }, (_, byte) => byte)
      await intake.publish(message(0, { payload: all, key: null, id: 'bytes' }))
      const got: Delivery[] = []
      intake.consume(async (delivery) => {
        got.push(delivery)
        return OWNED
      })
      await until(() => got.length === 1)
      expect(got[0]).toMatchObject({ pool: 'text', id: 'bytes' })
      expect(Buffer.compare(got[0].payload, all)).toBe(0)
      await Promise.all(upTo(200).map((n) => intake.publish(message(n))))
      await until(() => got.length === 201)
      expect(got.slice(1).map(numberOf)).toEqual(upTo(200))
      expect(intake.health()).toEqual({ ok: true })
      expect(intake.reconnects()).toBe(0)
    },
  },
  {
    name: 'a process is given the deliveries of its pools alone',
    async run(rig) {
      const [images, texts] = [await rig.open({ ...POOLS, pools: ['image'] }), await rig.open(POOLS)]
      const seen: Record<'image' | 'text', string[]> = { image: [], text: [] }
      images.consume(async (delivery) => {
        seen.image.push(delivery.pool)
        return OWNED
      })
      await Promise.all(upTo(20).map((n) => texts.publish(message(n, { key: null, pool: n % 2 ? 'text' : 'image' }))))
      await until(() => seen.image.length === 10)
      await images.close()
      texts.consume(async (delivery) => {
        seen.text.push(delivery.pool)
        return OWNED
      })
      await until(() => seen.text.length === 10)
      expect(seen).toEqual({ image: Array(10).fill('image'), text: Array(10).fill('text') })
    },
  },
  {
    name: 'no more than the window is without a verdict; verdicts in any order make room',
    async run(rig) {
      const intake = await rig.open({ ...POOLS, window: 5 })
      await Promise.all(upTo(20).map((n) => intake.publish(message(n))))
      const held: Array<{ readonly n: number; readonly own: () => void }> = []
      let most = 0
      const seen: number[] = []
      intake.consume((delivery) => {
        seen.push(numberOf(delivery))
        return new Promise((tell) => {
          held.push({ n: numberOf(delivery), own: () => tell(OWNED) })
          most = Math.max(most, held.length)
        })
      })
      await until(() => held.length === 5)
      await new Promise((go) => setTimeout(go, 300))
      expect(held.length).toBe(5)
      expect(intake.held().get('text')).toBe(5)
      while (seen.length < 20) {
        const before = seen.length
        for (const one of held.splice(0).reverse()) one.own()
        await until(() => seen.length > before)
      }
      for (const one of held.splice(0)) one.own()
      await until(() => intake.held().get('text') === 0)
      expect(most).toBeLessThanOrEqual(5)
      expect(firstTimes(seen)).toEqual(upTo(20))
    },
  },
  {
    name: 'what can be no job is dead, with its reason, and stops nobody',
    async run(rig) {
      const intake = await rig.open(POOLS)
      const owned: number[] = []
      intake.consume(async (delivery) => {
        if (numberOf(delivery) % 10 === 3)
          return { kind: 'dead', code: 'invalid_request', reason: `no job: ${numberOf(delivery)} "ö"` }
        owned.push(numberOf(delivery))
        return OWNED
      })
      await Promise.all(upTo(30).map((n) => intake.publish(message(n))))
      await until(() => owned.length === 27)
      expect(owned).toEqual(upTo(30).filter((n) => n % 10 !== 3))
      let dead: readonly DeadLetter[] = []
      await until(async () => {
        dead = await rig.dead('text')
        return dead.length === 3
      })
      expect(dead).toEqual(
        [3, 13, 23].map((n) => ({ payload: `payload ${n}`, code: 'invalid_request', reason: `no job: ${n} "ö"` })),
      )
      expect(await rig.dead('image')).toEqual([])
    },
  },
  {
    name: 'a process that dies with deliveries: the next one is given them, in their order, before the others',
    async run(rig) {
      const [first, second] = [await rig.open({ ...POOLS, window: 10 }), await rig.open({ ...POOLS, window: 10 })]
      await Promise.all(upTo(40).map((n) => first.publish(message(n))))
      const owned: number[] = []
      const heldByFirst: number[] = []
      first.consume((delivery) => {
        const n = numberOf(delivery)
        if (n < 5) return Promise.resolve(OWNED).finally(() => owned.push(n))
        heldByFirst.push(n)
        return new Promise(() => {})
      })
      await until(() => heldByFirst.length === 10)
      const bySecond: number[] = []
      second.consume(async (delivery) => {
        bySecond.push(numberOf(delivery))
        return OWNED
      })
      await new Promise((go) => setTimeout(go, 300))
      // One at a time takes those of a key
      expect(bySecond).toEqual([])
      await rig.crash(first)
      await until(() => bySecond.includes(39))
      // The word that the first ones were owned may have been lost
      expect(firstTimes(bySecond)).toEqual(upTo(40, bySecond[0]))
      expect(bySecond[0]).toBeLessThanOrEqual(5)
    },
  },
  {
    name: "a key's order is kept over a broker that is killed, with deliveries under way; nothing is lost",
    async run(rig) {
      const intake = await rig.open({ ...POOLS, window: 10 })
      const seen: number[] = []
      const pending: Array<() => void> = []
      intake.consume((delivery) => {
        seen.push(numberOf(delivery))
        return new Promise((tell) => {
          if (numberOf(delivery) < 20) tell(OWNED)
          else pending.push(() => tell(OWNED))
        })
      })
      await publishAll(
        intake,
        upTo(40).map((n) => message(n)),
      )
      await until(() => seen.includes(29))
      await rig.killBroker()
      await until(() => !intake.health().ok)
      for (const own of pending.splice(0)) own()
      await expect(intake.publish(message(99))).rejects.toMatchObject({ code: 'intake_unavailable' })
      await rig.startBroker()
      await publishAll(
        intake,
        upTo(60, 40).map((n) => message(n)),
      )
      const freeing = setInterval(() => {
        for (const own of pending.splice(0)) own()
      }, 20)
      try {
        await until(() => seen.includes(59))
      } finally {
        clearInterval(freeing)
      }
      for (const own of pending.splice(0)) own()
      expect(firstTimes(seen).filter((n) => n !== 99)).toEqual(upTo(60))
      await until(() => intake.health().ok)
      expect(intake.reconnects()).toBeGreaterThan(0)
    },
  },
  {
    name: 'connections that are cut come back by themselves, those of consumers too',
    async run(rig) {
      const intake = await rig.open(POOLS)
      const seen: number[] = []
      intake.consume(async (delivery) => {
        seen.push(numberOf(delivery))
        return OWNED
      })
      for (const round of [0, 1, 2]) {
        await publishAll(
          intake,
          upTo((round + 1) * 10, round * 10).map((n) => message(n)),
        )
        await until(() => seen.includes(round * 10 + 9))
        await rig.cut()
      }
      await publishAll(
        intake,
        upTo(40, 30).map((n) => message(n)),
      )
      await until(() => seen.includes(39))
      expect(firstTimes(seen)).toEqual(upTo(40))
      expect(intake.reconnects()).toBeGreaterThan(0)
    },
  },
  {
    name: 'a drain takes nothing more, waits for verdicts, and leaves what has none to others; publishing goes on',
    async run(rig) {
      const [first, second] = [await rig.open({ ...POOLS, window: 4 }), await rig.open({ ...POOLS, window: 4 })]
      await Promise.all(upTo(12).map((n) => first.publish(message(n))))
      const byFirst: number[] = []
      let own: (verdict: Verdict) => void = () => {}
      first.consume((delivery) => {
        byFirst.push(numberOf(delivery))
        if (numberOf(delivery) > 0) return new Promise(() => {})
        return new Promise((tell) => {
          own = tell
        })
      })
      await until(() => byFirst.length === 4)
      const draining = first.drain(1_000)
      own(OWNED)
      await draining
      await first.publish(message(12))
      const bySecond: number[] = []
      second.consume(async (delivery) => {
        bySecond.push(numberOf(delivery))
        return OWNED
      })
      await until(() => bySecond.includes(12))
      expect(byFirst).toEqual(upTo(4))
      expect(firstTimes(bySecond).filter((n) => n > 0)).toEqual(upTo(13, 1))
      await first.close()
      await first.close()
      await expect(first.publish(message(13))).rejects.toMatchObject({ code: 'intake_unavailable' })
    },
  },
]

/** `start`: once for all cases; each has queues of its own by `fresh`. */
export function conformIntake(open: () => Promise<Rig>): void {
  for (const { name, run } of intakeCases)
    test(name, async () => {
      const rig = await open()
      try {
        await run(rig)
      } finally {
        await rig.close()
      }
    }, 90_000)
}
