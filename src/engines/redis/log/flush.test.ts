import { expect, it } from 'vitest'
import { depth } from '../../../../test/depth.ts'
import { manualClock } from '../../../../test/manual-clock.ts'
import { random } from '../../../../test/random.ts'
import { Wheel } from '../../../core/clock.ts'
import { systemIds } from '../../../core/ids.ts'
import type { Connection } from '../client/connection.ts'
import type { Scripts } from '../client/scripts.ts'
import { AttemptLog } from './attempt.ts'
import { Flush } from './flush.ts'

const SEEDS = depth(300, 30)

/** A flush whose scripts are answered when the test says so. */
function held() {
  const clock = manualClock()
  const scripts: Array<{ readonly args: readonly unknown[]; readonly answer: (is: unknown) => void }> = []
  const run = (_name: string, args: readonly unknown[]): Promise<unknown> =>
    new Promise((answer) => void scripts.push({ args, answer }))
  /** Of each script the numbers of its jobs, and its ends. */
  const stored = (): readonly string[] =>
    scripts.map(({ args }) => {
      const frames = Buffer.concat(args.filter((arg): arg is Buffer => arg instanceof Buffer)).toString('latin1')
      const ends = args.filter((arg) => typeof arg === 'string' && arg.startsWith('end'))
      return [[...frames.matchAll(/job_(\d)/g)].map(([, n]) => n).join(''), ...ends].join(' ')
    })
  const answer = async (n: number): Promise<void> => {
    scripts[n].answer([])
    await new Promise(setImmediate)
  }
  const parts = { process: 'p', clock, wheel: new Wheel(clock), ids: systemIds() }
  const commands = { onTurn() {} } as unknown as Connection
  const flush = new Flush({ ...parts, commands, scripts: { run } as unknown as Scripts, stored() {}, fenced() {} })
  const host = { touch: flush.touch.bind(flush), charge() {} }
  const attempt = (n: number): AttemptLog => new AttemptLog(`job_${n}`, 1, { epoch: 1, head: 0 }, host)
  const turn = async (): Promise<void> => {
    await Promise.resolve()
    clock.advance(0)
    await new Promise(setImmediate)
  }
  return { clock, wheel: parts.wheel, stored, answer, attempt, turn }
}

it('a first text waits for nothing that is under way; all else shares one script at a time', async () => {
  const { clock, stored, answer, attempt, turn } = held()
  const [one, two, three] = [attempt(1), attempt(2), attempt(3)]
  one.append(['opening'], 0, false)
  await turn()
  two.append(['opening'], 0, false)
  three.append(['first'], 1, true)
  // Before this turn of the event loop ends
  await Promise.resolve()
  expect(stored()).toEqual(['1', '3'])
  one.append(['first'], 1, true)
  clock.advance(1_000)
  await turn()
  expect(stored()).toEqual(['1', '3'])
  await answer(0)
  await turn()
  expect(stored()).toEqual(['1', '3', '21'])
  three.append(['second'], 1, false)
  await answer(1)
  clock.advance(1_000)
  await turn()
  expect(stored().length).toBe(3)
  await answer(2)
  clock.advance(1_000)
  await turn()
  expect(stored()).toEqual(['1', '3', '21', '3'])
})

it('an end that comes with its text shares its script, a later one waits for no window', async () => {
  const { stored, answer, attempt, turn } = held()
  const [one, two, three] = [attempt(1), attempt(2), attempt(3)]
  one.append(['text'], 1, true)
  void one.store('end 1')
  await turn()
  expect(stored()).toEqual(['1 end 1'])
  // A window begins
  three.append(['opening'], 0, false)
  await turn()
  await answer(1)
  two.append(['text'], 1, true)
  await turn()
  void two.store('end 2')
  await turn()
  expect(stored()).toEqual(['1 end 1', '3', '2'])
  await answer(2)
  await turn()
  expect(stored()).toEqual(['1 end 1', '3', '2', ' end 2'])
})

it('while the wheel turns, ends wait for its next beat, to share a script', async () => {
  const { clock, wheel, stored, attempt, turn } = held()
  wheel.in(wheel.beatMs, () => {})
  const [one, two] = [attempt(1), attempt(2)]
  void one.store('end 1')
  await turn()
  clock.advance(wheel.beatMs - 1)
  void two.store('end 2')
  await turn()
  expect(stored()).toEqual([])
  clock.advance(1)
  await turn()
  expect(stored()).toEqual([' end 1 end 2'])
})

it('few scripts of first texts are under way at once, and none of what comes meanwhile is left', async () => {
  const { stored, answer, attempt, turn } = held()
  const attempts = [1, 2, 3, 4, 5, 6].map(attempt)
  for (const each of attempts) {
    each.append(['text'], 1, true)
    await turn()
  }
  expect(stored()).toEqual(['1', '2', '3', '4'])
  await answer(2)
  expect(stored()).toEqual(['1', '2', '3', '4', '56'])
  for (const n of [0, 1, 3, 4]) await answer(n)
  await Promise.all(attempts.map((each) => each.flushed()))
})

it.each(['an end', 'more text'])('%s is stored, though the wheel is about to stand still', async (what) => {
  for (let beat = 1; beat < 30; beat++) {
    const { clock, wheel, stored, answer, attempt, turn } = held()
    const [log, other] = [attempt(1), attempt(2)]
    let beats = 0
    // After the beat's flush, in its turn
    wheel.onBeat(() => {
      if (++beats !== beat) return
      if (what === 'an end') void log.store('end 1')
      else log.append(['text'], 1, false)
    })
    other.append(['text'], 1, false)
    await turn()
    await answer(0)
    wheel.in(wheel.beatMs, () => {})
    while (wheel.turning) {
      clock.advance(wheel.beatMs)
      await turn()
    }
    if (beats < beat) break // it stood still before
    expect(stored().length).toBe(2)
  }
})

/** A script takes so long at most, and what waits for one may wait for another before. */
const SCRIPT_MS = 40
const LONGEST_MS = 60 + 2 * SCRIPT_MS + 10

it(`keeps nothing back, whatever comes when (${SEEDS} seeds)`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const draw = random(seed)
    const clock = manualClock()
    const wheel = new Wheel(clock)
    const underWay = new Map<string, number>()
    const fails = draw(3) === 0
    const run = async (_name: string, args: readonly unknown[]): Promise<unknown> => {
      const frames = Buffer.concat(args.filter((arg): arg is Buffer => arg instanceof Buffer)).toString('latin1')
      const jobs = [...frames.matchAll(/job_\d\d/g)].map(([job]) => job)
      for (const job of jobs) {
        const others = underWay.get(job) ?? 0
        expect(others, `seed ${seed}: two chunks of ${job} under way`).toBe(0)
        underWay.set(job, 1)
      }
      await new Promise<void>((done) => clock.after(draw(SCRIPT_MS), done))
      for (const job of jobs) underWay.delete(job)
      if (fails && draw(4) === 0) throw new Error('Connection is closed.')
      return []
    }
    const parts = { process: 'p', clock, wheel, ids: systemIds() }
    const commands = { onTurn() {} } as unknown as Connection
    const flush = new Flush({ ...parts, commands, scripts: { run } as unknown as Scripts, stored() {}, fenced() {} })
    /** When each came that is not stored yet. */
    const waiting = new Map<object, number>()
    const host = { touch: flush.touch.bind(flush), charge() {} }
    const attempts = Array.from({ length: 1 + draw(20) }, (_, i) => ({
      log: new AttemptLog(`job_${10 + i}`, 1, { epoch: 1, head: 0 }, host),
      texts: 0,
      isOver: false,
    }))
    const wait = (until: Promise<unknown>): void => {
      waiting.set(until, clock.monoMs())
      void until.then(() => waiting.delete(until))
    }
    const pass = async (ms: number): Promise<void> => {
      clock.advance(ms)
      await new Promise(setImmediate)
      for (const since of waiting.values())
        if (!fails) expect(clock.monoMs() - since, `seed ${seed}: waits`).toBeLessThan(LONGEST_MS)
    }
    for (let step = 0; step < 80; step++) {
      const attempt = attempts[draw(attempts.length)]
      if (draw(8) === 0) wheel.in(wheel.beatMs, () => {})
      if (!attempt.isOver && draw(6) === 0) {
        attempt.isOver = true
        wait(attempt.log.store('end'))
      } else if (!attempt.isOver) {
        attempt.log.append(['text'], 1, attempt.texts++ === 1)
        wait(attempt.log.flushed())
      }
      for (let ms = draw(3) === 0 ? draw(30) : 0; ms >= 0; ms--) await pass(1)
    }
    for (let ms = 0; waiting.size > 0; ms++) {
      expect(ms, `seed ${seed}: ${waiting.size} are never stored`).toBeLessThan(5_000)
      await pass(1)
    }
  }
})
