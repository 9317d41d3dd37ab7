/** What the dashboard is shown, from the parts that know it. */
import { fileURLToPath } from 'node:url'
import type { Config } from '../config/schema.ts'
import { version } from '../config/version.ts'
import { SluiceError } from '../core/errors.ts'
import type { Goals } from '../core/goals.ts'
import type { Foot, Hello, Role } from '../core/live.ts'
import { GLOSSARY } from '../core/measure.ts'
import { Histogram, type Metric } from '../core/numbers.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Live } from '../core/ports/live.ts'
import type { Observed } from '../core/ports/observed.ts'
import type { DeploymentStatus } from '../core/ports/operations.ts'
import { createReports } from '../ledger/reports.ts'
import { History } from '../observability/history/history.ts'
import { Changes } from '../observability/live/changes.ts'
import { createJobPages } from '../observability/live/job-pages.ts'
import { Lately } from '../observability/live/lately.ts'
import { createLive } from '../observability/live/live.ts'
import { createNowPages, type Spent } from '../observability/live/now-pages.ts'
import { bounded } from '../observability/live/patience.ts'
import { spendGoal } from '../observability/live/spend.ts'
import { Watchers } from '../observability/live/watchers.ts'
import type { LoopMonitor } from '../observability/loop.ts'
import { RefusedOfLate } from '../observability/refused/refused.ts'
import { Traces } from '../observability/traces/traces.ts'
import type { Catalogue } from '../routing/catalogue.ts'
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
  readonly node: string
  /** Without a path; null where there is none, or not yet. */
  readonly publicUrl: () => string | null
  /** Are workers processes beside this one, which the playground may kill? */
  readonly killsWorker: boolean
}

/** How often the queue is looked at: once for each of the finest buckets. */
const LOOK_MS = 5_000
/** The foot is told though the store is away: it says so. */
const FOOT_MS = 2_000

export interface OpenLive extends Live {
  readonly observed: Observed
  /** Nothing is looked at any more. */
  stop(): void
}

export function liveOf(settings: Settings, parts: LiveOf, runtime: Runtime): OpenLive {
  const { engine, catalogue, loop, node, publicUrl, killsWorker } = parts
  const { clock, log } = runtime
  const lag = new Lately(loop.delay)
  const commits = engine.metrics.find((metric) => metric.name === 'commit_ms')
  const commitTime = commits instanceof Histogram ? new Lately(commits) : null
  const { operations, jobs } = engine
  const history = new History(clock.wallMs())
  const traces = new Traces(parts.goals)
  const changes = new Changes()
  changes.add({
    ...{ atMs: clock.wallMs(), kind: 'node', by: null },
    words: [{ text: node, strong: true }, { text: ` started (Sluice ${version})` }],
  })
  const watchers = new Watchers()
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

  const now = createNowPages({
    history,
    traces,
    changes,
    watchers,
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
    store: () => ({ error: storeError(), commitP99Ms: commitTime?.p99() ?? null }),
    gone: () => [],
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
      isNew: traces.version === 0 && (await jobs.list({ limit: 1 })).length === 0,
      glossary: GLOSSARY,
    }
  }

  let lastDeployments: readonly DeploymentStatus[] = []
  async function foot(): Promise<Foot> {
    loop.refresh()
    // While the store is away: as they were
    lastDeployments = await bounded(clock, FOOT_MS, operations.deployments()).catch(() => lastDeployments)
    const deployments = lastDeployments
    const { config } = settings
    return {
      atMs: clock.wallMs(),
      nodes: [{ id: node, role: config.role, coordinates: true, silentMs: 0 }],
      deployments: {
        all: deployments.length,
        out: deployments.filter(({ unwell }) => unwell.some(({ coolsForMs }) => coolsForMs > 0)).length,
      },
      logBytes: gaugeIn(engine.metrics, 'used_bytes'),
      maxLogBytes: config.retention.bytes,
      loopLagP99Ms: lag.p99(),
      storeError: storeError(),
    }
  }

  const live = createLive({
    clock,
    hello,
    foot,
    history,
    changes,
    operations,
    now,
    onLook: () => traces.looked(clock.monoMs()),
    jobs: createJobPages({
      clock,
      traces,
      jobs,
      words: (job) => lastWords(engine.log, job),
      showsText: () => textOf(settings.config) === 'shown',
    }),
    onFault: (err) => log.error({ err }, 'a page of the dashboard could not be told something'),
  })
  const observed: Observed = {
    deployment: (name) => history.deployments.lately(name, clock.wallMs()),
    refusals: (tenant) => refused.of(tenant, clock.wallMs()),
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
