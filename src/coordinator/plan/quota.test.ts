import { describe, expect, it } from 'vitest'
import { type Random, random } from '../../../test/simulation/random.ts'
import type { LevelState } from '../../core/limits.ts'
import type { PlanDeployment, PlanModel } from '../../core/ports/coordinator.ts'
import { LastMinute } from '../limits/last-minute.ts'
import { job } from '../scheduler/testing/jobs.ts'
import { Plan } from './plan.ts'
import type { Planned } from './planned.ts'
import { Quota } from './quota.ts'

const TPM = 10_000
const RPM = 60
const MINUTE = 60_000

const deployment = (more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  ...{ name: 'a', kinds: ['chat'], upstreamModel: null, concurrent: Infinity, order: 0, revision: '' },
  ...{ requestsPerMinute: RPM, tokensPerMinute: TPM },
  ...more,
})
const models = (more?: Partial<PlanDeployment>): PlanModel[] => [{ name: 'chat', deployments: [deployment(more)] }]

/** When a provider counts an answer's tokens: all as it is asked for, or each as it is written. */
type Counting = 'asked' | 'streamed'

interface Call {
  readonly notes: Planned
  readonly prompt: number
  readonly asked: number
  readonly output: number
  streamed: number
}

/** An upstream that counts, and a history of jobs drawn at random: more of them than it allows. */
class World {
  readonly #draw: Random
  readonly #counting: Counting
  readonly #weighs: number
  readonly counted: Array<{ readonly at: number; readonly tokens: number; readonly requests: number }> = []
  readonly running: Call[] = []
  readonly #store = new Map<string, LevelState>()
  plan = new Plan(models())
  now = 0
  #made = 0

  /** `weighs`: tokens of a prompt for each that is estimated. */
  constructor(seed: number, counting: Counting, weighs = 1) {
    this.#draw = random(seed)
    this.#counting = counting
    this.#weighs = weighs
  }

  #count(tokens: number, requests = 0): void {
    this.counted.push({ at: this.now, tokens, requests })
  }

  run(forMs: number, takeOvers = 0.002): void {
    while (this.now < forMs) {
      for (let i = 0; i < 50 && this.#start(this.#next()); i++);
      for (const level of this.plan.deployments.take(this.now)) this.#store.set(level.name, level)
      this.now += 50
      this.plan.tick(this.now)
      for (const call of [...this.running]) this.#go(call)
      if (this.#draw.chance(takeOvers)) this.#takeOver()
    }
  }

  #next(): Call {
    const asked = 1 + this.#draw.below(400)
    const estimate = 1 + this.#draw.below(400 / this.#weighs)
    const prompt = estimate * this.#weighs
    const maxOutputTokens = asked
    const notes: Planned = {
      job: job(`j${++this.#made}`, { promptTokens: estimate, maxOutputTokens }),
      failedAt: [],
      call: null,
    }
    return { notes, prompt, asked, output: 1 + this.#draw.below(asked), streamed: 0 }
  }

  #start(call: Call): boolean {
    if ('scope' in this.plan.claim(call.notes, this.now)) return false
    this.running.push(call)
    this.#count(call.prompt + (this.#counting === 'asked' ? call.output : 0), 1)
    return true
  }

  #go(call: Call): void {
    const tokens = Math.min(call.output - call.streamed, this.#draw.below(9))
    call.streamed += tokens
    if (this.#counting === 'streamed') this.#count(tokens)
    if (this.#draw.chance(0.8)) this.plan.streamed(call.notes, tokens, this.now)
    if (call.streamed < call.output) return
    this.running.splice(this.running.indexOf(call), 1)
    this.plan.release(call.notes, { promptTokens: call.prompt, completionTokens: call.output }, this.now)
  }

  /** Another coordinator goes on with what the store has. */
  #takeOver(): void {
    for (const level of this.plan.deployments.take(this.now)) this.#store.set(level.name, level)
    this.plan = new Plan(models())
    this.plan.deployments.restore([...this.#store.values()], this.now)
    for (const { notes, prompt, output } of this.running) {
      notes.call = null
      this.plan.adopt(notes, { deployment: 'a', reservation: null, quotaTokens: prompt + output }, this.now)
    }
  }

  /** The most in any 60 s, as shares of what is allowed; and the share that was used while work waited. */
  judged(sinceMs = 0) {
    let [tokens, requests, from] = [0, 0, 0]
    let most = 0
    const counted = this.counted.filter(({ at }) => at >= sinceMs)
    for (const one of counted) {
      tokens += one.tokens
      requests += one.requests
      for (; counted[from].at <= one.at - MINUTE; from++) {
        tokens -= counted[from].tokens
        requests -= counted[from].requests
      }
      most = Math.max(most, tokens / TPM, requests / RPM)
    }
    const sum = this.counted.reduce((all, one) => all + one.tokens, 0)
    const asked = this.counted.reduce((all, one) => all + one.requests, 0)
    const minutes = this.now / MINUTE
    return { most, used: Math.max(sum / TPM / minutes, asked / RPM / minutes) }
  }
}

describe('what a provider allows in a minute', () => {
  it.each<Counting>(['asked', 'streamed'])('is never exceeded, whenever it counts: %s', (counting) => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = new World(seed, counting)
      world.run(4 * MINUTE)
      expect(world.judged().most, `seed ${seed}`).toBeLessThanOrEqual(1)
    }
  })

  it.each<Counting>(['asked', 'streamed'])(
    'is exceeded once where prompts weigh more than estimated: %s',
    (counting) => {
      for (let seed = 1; seed <= 10; seed++) {
        const world = new World(seed, counting, 10)
        world.run(4 * MINUTE, 0)
        expect(world.judged(MINUTE).most, `seed ${seed}`).toBeLessThanOrEqual(1)
        expect(world.judged().used, `seed ${seed}`).toBeGreaterThan(0.8)
      }
    },
  )

  it('is used to nine tenths while work waits', () => {
    const used = Array.from({ length: 10 }, (_, i) => {
      const world = new World(100 + i, 'streamed')
      world.run(4 * MINUTE, 0)
      return world.judged().used
    })
    expect(Math.min(...used)).toBeGreaterThan(0.9)
  })

  it.each([
    [
      'what is claimed is not held',
      () =>
        Object.assign(Quota.prototype, {
          take: () => ({ slot: 0, estimate: 0, promptTokens: 0, requests: 0, left: 0, streamed: 0 }),
        }),
    ],
    [
      'a minute is half a minute',
      () => {
        const { used } = LastMinute.prototype
        return Object.assign(LastMinute.prototype, {
          used(this: LastMinute, now: number) {
            return used.call(this, now) / 2
          },
        })
      },
    ],
    ['a takeover forgets', () => Object.assign(Quota.prototype, { restore() {} })],
  ])('finds a planted bug: %s', (_name, plant) => {
    const before = { take: Quota.prototype.take, restore: Quota.prototype.restore, used: LastMinute.prototype.used }
    plant()
    try {
      const most = [1, 2, 3, 4, 5].map((seed) => {
        const world = new World(seed, 'asked')
        world.run(2 * MINUTE)
        return world.judged().most
      })
      expect(Math.max(...most)).toBeGreaterThan(1)
    } finally {
      Quota.prototype.take = before.take
      Quota.prototype.restore = before.restore
      LastMinute.prototype.used = before.used
    }
  })
})

const claims = (more?: Partial<PlanDeployment>) => {
  const plan = new Plan(models(more))
  let made = 0
  const claim = (promptTokens: number, maxOutputTokens: number, now: number): Planned | null => {
    const notes: Planned = { job: job(`j${++made}`, { promptTokens, maxOutputTokens }), failedAt: [], call: null }
    return 'scope' in plan.claim(notes, now) ? null : notes
  }
  return { plan, claim }
}

it('a job that finds no room is tried again as soon as there is some', () => {
  const { plan, claim } = claims()
  expect(claim(TPM - 100, 50, 10)).not.toBeNull()
  plan.takeRoom()
  expect(claim(200, 0, 1_000)).toBeNull()
  // Its prompt was counted in the half second that it was claimed in
  expect(plan.nextAt()).toBe(62_000)
  plan.tick(62_000)
  expect(plan.takeRoom()).toBe(true)
  expect(claim(200, 0, 62_000)).not.toBeNull()
})

it('what was held and not written makes room at once', () => {
  const { plan, claim } = claims()
  const first = claim(TPM - 1_100, 1_000, 0)!
  expect(claim(200, 0, 1)).toBeNull()
  plan.takeRoom()
  plan.release(first, { promptTokens: TPM - 1_100, completionTokens: 10 }, 2)
  expect(plan.takeRoom()).toBe(true)
  expect(claim(1_090, 0, 2)).not.toBeNull()
})

it('counts where its provider did: a call that was late on its way is counted late', () => {
  const { plan, claim } = claims({ requestsPerMinute: 2 })
  const [first, second] = [claim(100, 0, 0)!, claim(100, 0, 0)!]
  // One was sent after 9 s, and one streams from then on
  plan.release(first, { promptTokens: 100, completionTokens: 0 }, 20_000, 9_000)
  plan.streamed(second, 1, 9_100)
  expect(claim(1, 0, 62_000)).toBeNull()
  expect(claim(1, 0, 71_000)).not.toBeNull()
})

it('what was refused there costs nothing there', () => {
  const { plan, claim } = claims({ requestsPerMinute: 1 })
  plan.release(claim(TPM, 0, 0)!, null, 1)
  expect(claim(TPM, 0, 1)).not.toBeNull()
})

it('what is heavier than a minute goes alone', () => {
  const { claim } = claims()
  expect(claim(1, 0, 0)).not.toBeNull()
  expect(claim(3 * TPM, 0, 1)).toBeNull()
  expect(claim(3 * TPM, 0, 62_000)).not.toBeNull()
  expect(claim(1, 0, 62_001)).toBeNull()
})

it('others use the same key: what the upstream says is left holds, for as long as it says', () => {
  const { plan, claim } = claims()
  const first = claim(100, 0, 0)!
  plan.tell(first, { agoMs: 0, tokens: { limit: TPM, remaining: 500, resetMs: 20_000 } }, 1)
  plan.release(first, { promptTokens: 100, completionTokens: 0 }, 1)
  expect(claim(501, 0, 2)).toBeNull()
  expect(plan.nextAt()).toBe(20_001)
  expect(claim(500, 0, 2)).not.toBeNull()
  expect(claim(501, 0, 20_001)).not.toBeNull()
})

it('where nothing is configured, only that nothing is left counts', () => {
  const { plan, claim } = claims({ requestsPerMinute: null, tokensPerMinute: null })
  const first = claim(100, 0, 0)!
  plan.tell(first, { agoMs: 0, requests: { limit: 10, remaining: 3, resetMs: 9_000 } }, 1)
  const second = claim(100, 0, 2)!
  plan.tell(second, { agoMs: 1_000, requests: { limit: 10, remaining: 0, resetMs: 9_000 } }, 3)
  expect(claim(1, 0, 4)).toBeNull()
  expect(plan.nextAt()).toBe(8_003)
  expect(claim(1, 0, 8_003)).not.toBeNull()
})

it('limits may come and go: what was used stays used', () => {
  const { plan, claim } = claims()
  claim(TPM, 0, 0)
  plan.configure(models({ tokensPerMinute: TPM * 2 }))
  expect(claim(TPM, 0, 1)).not.toBeNull()
  plan.configure(models())
  expect(claim(1, 0, 2)).toBeNull()
})

describe('what the upstream counts of a prompt', () => {
  const [light, heavy] = [100, 1_000]
  const learned = (more?: Partial<PlanDeployment>) => {
    const made = claims(more)
    for (let i = 0; i < 5; i++)
      made.plan.release(made.claim(light, 0, 0)!, { promptTokens: heavy, completionTokens: 0, estimated: false }, 1)
    return made
  }
  /** How many such prompts fit into a minute. */
  const fitting = ({ plan, claim }: ReturnType<typeof claims>, now: number): number => {
    let fit = 0
    for (; fit < RPM && claim(light, 0, now) !== null; fit++);
    plan.takeRoom()
    return fit
  }

  it('is held for the next ones, before they are answered', () => {
    const { plan, claim } = learned()
    // Five times 1,000 were reported, and each of the next is known to come to about that
    expect(fitting({ plan, claim }, 2)).toBe(5)
    expect(plan.deployments.status(2)[0].used).toMatchObject({ tokens: expect.closeTo(TPM, -3) })
  })

  it('may be less', () => {
    const { plan, claim } = claims({ tokensPerMinute: 1_000 })
    for (let i = 0; i < 20; i++)
      plan.release(claim(light, 0, i * 2 * MINUTE)!, { promptTokens: 50, completionTokens: 0 }, i * 2 * MINUTE)
    expect(fitting({ plan, claim }, 40 * MINUTE)).toBe(19)
  })

  it('is what was reported: an estimate teaches nothing, and takes nothing back', () => {
    const { plan, claim } = learned()
    const used = () => plan.deployments.status(2)[0].used!.tokens
    const first = claim(light, 0, 2)!
    const held = used()
    plan.release(first, { promptTokens: light, completionTokens: 0, estimated: true }, 2)
    expect(used()).toBe(held)
    expect(fitting({ plan, claim }, 2)).toBe(4)
  })

  it.each([
    ['sixteen times', 1_000_000_000, 6],
    ['a quarter, rounded up', 1, 384],
  ])('is at most and at least what one can believe: %s', (_name, promptTokens, fit) => {
    const { plan, claim } = claims({ requestsPerMinute: null })
    for (let i = 0; i < 200; i++)
      plan.release(claim(light, 0, i * 2 * MINUTE)!, { promptTokens, completionTokens: 0 }, i * 2 * MINUTE)
    let fits = 0
    while (claim(light, 0, 400 * MINUTE) !== null) fits++
    expect(fits).toBe(fit)
  })

  it('is forgotten where something else answers', () => {
    const { plan, claim } = learned()
    plan.configure(models({ revision: 'another' }))
    expect(fitting({ plan, claim }, 2)).toBe(50)
  })

  it('is learned from calls that a coordinator before this one made', () => {
    const { plan, claim } = claims()
    for (let i = 0; i < 5; i++) {
      const notes: Planned = { job: job(`adopted${i}`, { promptTokens: light }), failedAt: [], call: null }
      plan.adopt(notes, { deployment: 'a', reservation: null, quotaTokens: light }, 0)
      plan.release(notes, { promptTokens: heavy, completionTokens: 0, estimated: false }, 1)
    }
    expect(fitting({ plan, claim }, 2)).toBe(10)
  })

  it('is what one whose worker died came to', () => {
    const { plan } = learned()
    const before = plan.deployments.status(2)[0].used!.tokens
    plan.deployments.spend('a', light, 7, 2)
    expect(plan.deployments.status(2)[0].used!.tokens - before).toBeGreaterThan(9 * light)
  })
})
