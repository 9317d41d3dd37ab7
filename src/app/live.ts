/** What the dashboard is shown, from the parts that know it. */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { environmentOf, NTH_PROCESS } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { version } from '../config/version.ts'
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { type Goals, MANY, MIN_ANSWERS } from '../core/goals.ts'
import type { Foot, Hello, Role } from '../core/live.ts'
import { GLOSSARY } from '../core/measure.ts'
import { Histogram, type Metric } from '../core/numbers.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Live } from '../core/ports/live.ts'
import type { Observed } from '../core/ports/observed.ts'
import type { DeploymentStatus } from '../core/ports/operations.ts'
import { DIALECTS } from '../dialects/index.ts'
import { createReports } from '../ledger/reports.ts'
import { Edits } from '../observability/history/edits.ts'
import { History } from '../observability/history/history.ts'
import { Changes } from '../observability/live/changes.ts'
import { Fleet } from '../observability/live/fleet.ts'
import { createJobPages } from '../observability/live/job-pages.ts'
import { Lately, ShareOfMinute } from '../observability/live/lately.ts'
import { createLive } from '../observability/live/live.ts'
import { createNowPages, type Spent } from '../observability/live/now-pages.ts'
import { bounded } from '../observability/live/patience.ts'
import { spendGoal } from '../observability/live/spend.ts'
import { Watchers } from '../observability/live/watchers.ts'
import type { LoopMonitor } from '../observability/loop.ts'
import { RefusedOfLate } from '../observability/refused/refused.ts'
import { Traces } from '../observability/traces/traces.ts'
import type { Catalogue } from '../routing/catalogue.ts'
import { askedIn } from './asked.ts'
import type { Settings } from './in-force.ts'
import { lastWords } from './live-words.ts'
import type { Runtime } from './runtime.ts'

/** What was built from src/app is in dist/src/app. */
const ROOT = import.meta.url.endsWith('.ts') ? '../..' : '../../..'
/** Where the dashboard's files are. */
export const PAGE_FOLDER: string = fileURLToPath(new URL(`${ROOT}/dashboard/dist`, import.meta.url))

export interface LiveOf {
  readonly engine: Engine
  readonly catalogue: Pick<Catalogue, 'models'>
  readonly goals: (model: string) => Goals
  readonly loop: LoopMonitor
  /** Without a path; null where there is none, or not yet. */
  readonly publicUrl: () => string | null
  /** Are workers processes beside this one, which the playground may kill? */
  readonly killsWorker: boolean
}

/** How often the queue is looked at: once for each of the finest buckets. */
const LOOK_MS = 5_000
/** The foot is told though the store is away: it says so. */
const FOOT_MS = 2_000
const FRESH_MS = 900

export interface OpenLive extends Live {
  readonly observed: Observed
  /** Nothing is looked at any more. */
  stop(): void
}

export function liveOf(settings: Settings, parts: LiveOf, runtime: Runtime): OpenLive {
  const { engine, catalogue, loop, publicUrl, killsWorker } = parts
  const { clock, log } = runtime
  const lag = new Lately(loop.delay)
  const held = new ShareOfMinute()
  let loopHeld: number | null = null
  const commits = engine.metrics.find((metric) => metric.name === 'commit_ms')
  const commitTime = commits instanceof Histogram ? new Lately(commits) : null
  const { operations, jobs } = engine
  const node = nameOf(settings.config, engine)
  const edits = new Edits()
  const recorded = { edits, isOneOfMany: settings.config.engine !== 'embedded' }
  const history = new History(clock.wallMs(), recorded)
  const traces = new Traces(parts.goals, recorded)
  const changes = new Changes(edits)
  changes.add({
    ...{ atMs: clock.wallMs(), kind: 'config', by: null },
    words: [{ text: node, strong: true }, { text: ` started (Sluice ${version})` }],
  })
  const watchers = new Watchers(recorded)
  const refused = new RefusedOfLate(clock.wallMs())
  for (const each of [history, traces, changes, watchers, refused]) runtime.observe(each.observe)
  const reports = createReports(engine.ledger, clock)
  const storeError = () => {
    const health = engine.health()
    return health.ok ? null : SluiceError.from(health.error).wire
  }

  /** While the store is away there is nothing to see. */
  const look = (): void => {
    traces.rest(clock.monoMs())
    loop.refresh()
    loopHeld = held.read(loop.heldMs, clock.monoMs())
    void operations.depth().then(
      (depth) => history.looked(clock.wallMs(), depth),
      () => {},
    )
  }
  const stop = clock.every(LOOK_MS, look)

  async function spent(): Promise<Spent> {
    const day = new Date(engine.wallMs()).toISOString().slice(0, 10)
    const { total } = await reports.sums({ fromDay: day, toDay: day }, [])
    return { nanoUsd: Number(total.nanoDollars), isEstimated: total.estimated > 0 }
  }

  const vitals = fresh(clock, () => {
    loop.refresh()
    return {
      coordinates: gaugeIn(engine.metrics, 'coordinating') !== 0,
      loopLagP99Ms: lag.p99(),
      commitP99Ms: commitTime?.p99() ?? null,
      loopHeld,
    }
  })
  const fleet = new Fleet({
    clock,
    peers: engine.peers,
    isAlone: !recorded.isOneOfMany,
    about: { name: node, role: settings.config.role, seat: seatOf(settings.config) },
    storeMs: () => engine.wallMs(),
    own: { edits, history, tallies: watchers.tallies, traces, changes },
    vitals,
  })

  const now = createNowPages({
    clock,
    traces: fleet.traces,
    changes,
    operations,
    jobs,
    audit: engine.audit,
    goals: () => settings.config.goals,
    deployed: () =>
      catalogue.models.flatMap(({ name: model, deployments }) =>
        deployments.map(({ name: deployment }) => ({ deployment, model })),
      ),
    spendGoal: (nowMs) => spendGoal(settings.limits().global, nowMs),
    spent,
    store: () => ({ error: storeError(), commitP99Ms: most(fleet.vitals().map(({ commitP99Ms }) => commitP99Ms)) }),
    outSince: (deployment) => outSince(fleet, deployment),
    gone: () => fleet.gone(),
    loop: () => mostHeld(fleet),
    silent: (nowMs) => watchers.silent(nowMs),
  })

  async function hello(role: Role): Promise<Hello> {
    const { config } = settings
    const { goals } = config
    const kill = killOf(config)
    return {
      version,
      node,
      role,
      engine: config.engine === 'embedded' ? 'embedded' : 'redis',
      durability: config.durability,
      publicUrl: publicUrl(),
      text: textOf(config),
      goals: { ttftMs: goals.ttftMs, tpotMs: goals.tpotMs, good: goals.good },
      noKill: kill ? null : 'dashboard.kill is off: turn it on to end workers from here.',
      kills: killsWorker ? 'worker' : 'call',
      models: catalogue.models.map(({ name }) => name),
      isNew: fleet.traces.version === 0 && (await jobs.list({ limit: 1 })).length === 0,
      minAnswers: MIN_ANSWERS,
      manyFailed: MANY,
      glossary: GLOSSARY,
    }
  }

  let lastDeployments: readonly DeploymentStatus[] = []
  async function foot(): Promise<Foot> {
    // While the store is away: as they were
    lastDeployments = await bounded(clock, FOOT_MS, operations.deployments()).catch(() => lastDeployments)
    const deployments = lastDeployments
    const { config } = settings
    return {
      atMs: clock.wallMs(),
      nodes: fleet.rows(),
      deployments: {
        all: deployments.length,
        out: deployments.filter(({ unwell }) => unwell.some(({ coolsForMs }) => coolsForMs > 0)).length,
      },
      logBytes: gaugeIn(engine.metrics, 'used_bytes'),
      maxLogBytes: config.retention.bytes,
      loopLagP99Ms: most(fleet.vitals().map(({ loopLagP99Ms }) => loopLagP99Ms)),
      storeError: storeError(),
    }
  }

  const live = createLive({
    clock,
    hello,
    foot,
    nodes: fleet,
    changes,
    operations,
    now,
    onLook() {
      traces.looked(clock.monoMs())
      void fleet.look()
    },
    jobs: createJobPages({
      clock,
      traces: fleet.traces,
      whole: (job) => fleet.whole(job),
      jobs,
      words: (job) => lastWords(engine.log, job),
      asked: askedIn(DIALECTS),
      showsText: () => textOf(settings.config) === 'shown',
    }),
    onFault: (err) => log.error({ err }, 'a page of the dashboard could not be told something'),
  })
  const observed: Observed = {
    deployment: (name) => history.deployments.lately(name, clock.wallMs()),
    refusals: (tenant) => refused.of(tenant, clock.wallMs()),
    refused: () => refused.sums(clock.wallMs()),
  }
  return { ...live, observed, stop }
}

const isDemo = ({ models }: Config): boolean => models.every(({ provider }) => provider === 'demo')

/** Null in the settings: open where there is nothing to hide. */
export const textOf = (config: Config): Hello['text'] => config.dashboard.text ?? (isDemo(config) ? 'shown' : 'asked')
export const killOf = (config: Config): boolean => config.dashboard.kill ?? isDemo(config)

function gaugeIn(metrics: readonly Metric[], name: string): number | null {
  const found = metrics.find((metric) => metric.name === name)
  return found?.kind === 'gauge' ? found.read() : null
}

const most = (values: readonly (number | null)[]): number | null =>
  values.reduce((max, value) => (value === null ? max : Math.max(max ?? value, value)), null)

/** For people: what the log names it by, too. */
const nameOf = ({ engine }: Config, { peers }: Engine): string =>
  engine === 'embedded' ? peers.self : `${hostname()}:${process.pid}`

/** One that follows it, after a crash, has the same. */
const seatOf = ({ dataDir, role }: Config): string =>
  [hostname(), resolve(dataDir), role, environmentOf(NTH_PROCESS) ?? ''].join(' ')

function mostHeld(fleet: Fleet): { readonly node: string; readonly share: number } | null {
  const held = fleet
    .vitals()
    .flatMap(({ name, loopHeld }) => (typeof loopHeld === 'number' ? [{ node: name, share: loopHeld }] : []))
  return held.reduce<(typeof held)[number] | null>(
    (worst, each) => (each.share > (worst?.share ?? 0) ? each : worst),
    null,
  )
}

/** The longest of what any node knows. */
function outSince(fleet: Fleet, deployment: string): number | null {
  const known = fleet
    .vitals()
    .flatMap(({ outs }) => outs.flatMap(([name, atMs]) => (name === deployment ? [atMs] : [])))
  return known.length === 0 ? null : Math.min(...known)
}

/** Both a page and other nodes ask, and what it reads counts since it was read last. */
function fresh<T>(clock: Pick<Clock, 'monoMs'>, read: () => T): () => T {
  let known: { readonly value: T; readonly atMono: number } | null = null
  return () => {
    const now = clock.monoMs()
    if (known === null || now - known.atMono >= FRESH_MS) known = { value: read(), atMono: now }
    return known.value
  }
}
