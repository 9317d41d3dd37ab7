/** One run of the simulation: what happens is drawn by the seed; a violation tells the seed and how it came to that. */
import { SluiceError } from '../../src/core/errors.ts'
import { NO_LIMITS } from '../../src/core/limits.ts'
import type { PlanDeployment, PlanModel, ScheduledJob } from '../../src/core/ports/coordinator.ts'
import type { Selector } from '../../src/core/ports/operations.ts'
import type { Outcome, Race } from '../../src/core/ports/work.ts'
import { limitsOf, ONE_AT_A_TIME, ROOMY, TOO_TIGHT } from './limited.ts'
import { type Random, random } from './random.ts'
import { DONE, type Faults, World } from './world.ts'

const STEPS = 120
const TRACED = 60

const deployment = (name: string, more: Partial<PlanDeployment> = {}): PlanDeployment => ({
  name,
  kinds: ['chat'],
  upstreamModel: null,
  concurrent: 2,
  order: 0,
  revision: name,
  ...more,
})
/** Two that serve chats, one of them vectors too; and one for vectors alone. */
const MODELS: readonly PlanModel[] = [
  { name: 'm1', deployments: [deployment('a'), deployment('b', { order: 1, kinds: ['chat', 'embedding'] })] },
  { name: 'm2', deployments: [deployment('c', { concurrent: 1 }), deployment('v', { kinds: ['embedding'] })] },
]
const SELECTORS: readonly Selector[] = [{ tenant: 'a' }, { model: 'm1' }, { lane: 'a1' }, { tenant: 'b', model: 'm2' }]
const PLACES = [
  ['a', null],
  ['a', 'a1'],
  ['a', 'a2'],
  ['b', null],
  ['b', 'b1'],
  ['c', null],
] as const
const POOLS = [[], ['text'], ['text', 'image']] as const

/** Throws the first violation. */
export function simulate(seed: number, faults: Faults = {}): void {
  const draw = random(seed)
  const isLimited = seed % 2 === 0
  const world = new World(MODELS, isLimited ? limitsOf(draw) : NO_LIMITS, faults)
  try {
    drive(world, draw, isLimited && seed % 6 === 0)
  } catch (thrown) {
    const trace = world.trace.slice(-TRACED).join('\n')
    throw new Error(`seed ${seed}: ${(thrown as Error).message}\n${trace}`, { cause: thrown })
  }
}

function drive(world: World, draw: Random, reloads: boolean): void {
  let made = 0
  const workers = (): string[] => [...world.processes.keys()]
  const attach = (): void => world.attach(`w${++made}`, draw.of(POOLS), 1 + draw.below(4))

  const doings: ReadonlyArray<readonly [number, () => void]> = [
    [30, () => world.submit(jobOf(draw, `j${++made}`, world.now), draw.chance(0.3), draw.chance(0.03))],
    [30, () => finishOne(world, draw)],
    [14, () => world.pass(draw.of([1, 5, 20, 60]))],
    [10, () => workers().length > 0 && world.heartbeat(draw.of(workers()))],
    [4, () => workers().length < 4 && attach()],
    [2, () => workers().length > 0 && world.leave(draw.of(workers()))],
    [4, () => world.submitted.length > 0 && world.cancel(draw.of(world.submitted))],
    [2, () => world.pause(draw.of(SELECTORS), draw.chance(0.4))],
    [1, () => void world.call('purge', () => world.coordinator.purge(draw.of(SELECTORS), world.now, draw.of([1, 99])))],
    [2, () => world.configure(modelsOf(draw))],
    [reloads ? 2 : 0, () => world.reload(limitsOf(draw, true))],
    [1, () => world.sleep(draw.of([150, 5_000, 86_400_000]))],
    [6, () => charge(world, draw)],
    [8, () => hedge(world, draw)],
    [6, () => race(world, draw)],
    [2, () => crash(world, draw)],
  ]
  const total = doings.reduce((sum, [weight]) => sum + weight, 0)
  attach()
  for (let step = 0; step < STEPS; step++) {
    let at = draw.below(total)
    for (const [weight, does] of doings) {
      at -= weight
      if (at >= 0) continue
      does()
      break
    }
    if (draw.chance(0.8)) world.lease()
    // Several calls share a commit, now and then
    if (draw.chance(0.7)) world.commit()
  }
  world.commit()
  if (reloads || draw.chance(0.5)) {
    // Some of one user, more than its limits let run at once
    const whose = { ...draw.of([{ user: 'ann' }, { run: 'r1' }, {}]), lane: null, deadlineMono: Infinity }
    const crowd = (size: number): void => {
      for (let i = 0; i < size; i++) world.submit({ ...jobOf(draw, `j${++made}`, world.now), ...whose }, false, false)
    }
    if (reloads && draw.chance(0.5)) world.reload(ROOMY)
    crowd(6)
    if (reloads && draw.chance(0.3)) {
      world.reload(TOO_TIGHT)
      world.lease()
      world.commit()
    }
    if (reloads) world.reload(draw.chance(0.7) ? ONE_AT_A_TIME : limitsOf(draw))
    crowd(6)
    if (draw.chance(0.8)) world.pause(draw.of(SELECTORS), true)
    world.rest(draw.of(POOLS))
  }
  world.settle(MODELS)
}

function jobOf(draw: Random, id: string, now: number): ScheduledJob {
  const [tenant, lane] = draw.of(PLACES)
  const notBeforeMono = draw.chance(0.2) ? now + draw.below(60) : now
  return {
    id,
    kind: draw.of(['chat', 'chat', 'embedding'] as const),
    tenant,
    lane,
    session: null,
    pool: draw.of(['text', 'text', 'image']),
    model: draw.of(['m1', 'm2']),
    priority: draw.of(['normal', 'high', 'low'] as const),
    promptTokens: draw.below(300),
    bodyBytes: 100,
    acceptedMono: now,
    notBeforeMono,
    deadlineMono: draw.chance(0.2) ? notBeforeMono + 1 + draw.below(150) : Infinity,
    ...{
      keyId: draw.of(['key_1', 'key_2']),
      user: draw.of([null, 'ann', 'bob']),
      run: draw.of([null, null, 'r1', 'r2']),
      route: draw.of(['', 'r']),
      maxOutputTokens: draw.of([null, null, 5, 40]),
      price: draw.of([null, { input: 2.5, output: 10 }]),
      policy: draw.of(['wait', 'wait', 'reject'] as const),
    },
    joinKey: draw.chance(0.3) ? draw.of(['k1', 'k2', 'k3']) : null,
  }
}

/** Deployments come and go, and have other numbers of slots. */
const modelsOf = (draw: Random): readonly PlanModel[] =>
  MODELS.map(({ name, deployments }) => ({
    name,
    deployments: deployments
      .filter(() => draw.chance(0.85))
      .map((each) => ({
        ...each,
        concurrent: draw.of([1, 2, 3, Infinity]),
        ...(draw.chance(0.2) && { revision: `${draw.below(9)}` }),
      })),
  }))

function finishOne(world: World, draw: Random): void {
  const all = [...world.processes.values()].flatMap((process) => [
    ...[...process.runs].map(([id, attempt]) => ({ id, attempt })),
    ...process.ghosts,
  ])
  if (all.length === 0) return
  const { id, attempt } = draw.of(all)
  const outcome = outcomeOf(draw)
  world.finish(id, attempt, outcome)
  // Its answer was lost on the way
  if (draw.chance(0.05)) world.finish(id, attempt, outcome)
}

function outcomeOf(draw: Random): Outcome {
  const attemptUsage = { promptTokens: draw.below(300), completionTokens: draw.below(150), estimated: false }
  const used = draw.of([
    {},
    { attemptUsage },
    { attemptUsage: { ...attemptUsage, promptTokens: 0, completionTokens: 0 } },
  ])
  const cost = draw.chance(0.3) ? { cost: { nanoDollars: draw.below(3_000), priceVersion: 'v1' } } : {}
  if (draw.chance(0.3)) return DONE
  if (draw.chance(0.3)) return { ...DONE, attemptUsage, ...cost }
  if (draw.chance(0.2)) return { kind: 'released', ...used }
  if (draw.chance(0.1)) return { kind: 'canceled', ...used, ...cost }
  const code = draw.of([
    'provider_error',
    'provider_rate_limited',
    'provider_timeout',
    'overloaded',
    'internal',
  ] as const)
  const retryAfterMs = draw.of([undefined, 0, 40, 5_000])
  return {
    kind: 'failed',
    error: new SluiceError(code, retryAfterMs === undefined ? {} : { retryAfterMs }),
    retry: draw.of([true, true, false, 'elsewhere'] as const),
    textShown: draw.chance(0.3),
    ...used,
  }
}

function charge(world: World, draw: Random): void {
  const held = world.decided.held()
  if (held.length === 0) return
  const { job, held: lease } = draw.of(held)
  world.charge(job.id, lease!.attempt, draw.below(50))
}

function hedge(world: World, draw: Random): void {
  const held = world.decided.held()
  if (held.length === 0) return
  const { job, held: lease } = draw.of(held)
  world.hedge(job.id, draw.chance(0.9) ? lease!.attempt : lease!.attempt - 1)
}

function race(world: World, draw: Random): void {
  const racing = world.racing()
  if (racing.length === 0) return
  const { id, attempt } = draw.of(racing)
  const usage = { promptTokens: draw.of([0, 5, 200]), completionTokens: 0, estimated: true }
  const failure = { code: 'provider_error' as const, elsewhere: draw.chance(0.3) }
  const won = draw.of(['first', 'second'] as const)
  const how: Race = draw.of([
    { won, end: 'outrun', usage },
    { won, end: 'outrun', usage, cost: { nanoDollars: draw.below(3_000), priceVersion: 'v1' } },
    { won, end: 'failed', usage, failure },
  ])
  world.raced(id, attempt, how, draw.chance(0.7))
  if (draw.chance(0.2)) world.raced(id, attempt, how, true)
}

function crash(world: World, draw: Random): void {
  // Before the commit, between the commit and telling of it, or after both
  const when = draw.below(3)
  if (when === 1) world.store()
  if (when === 2) world.commit()
  const alone = draw.chance(0.5)
  world.crash(alone)
  // Who lives comes back, sooner or later or never
  for (const { id, pools } of [...world.processes.values()]) if (draw.chance(0.8)) world.attach(id, pools, 2)
  if (!alone) world.attach(`r${world.now}${draw.below(1e6)}`, [], 3)
}
