/** What the dashboard is shown, from the parts that know it. */
import { fileURLToPath } from 'node:url'
import type { Config } from '../config/schema.ts'
import { version } from '../config/version.ts'
import { SluiceError } from '../core/errors.ts'
import type { Foot, Hello, Role } from '../core/live.ts'
import { GLOSSARY } from '../core/measure.ts'
import type { Metric } from '../core/numbers.ts'
import type { Engine } from '../core/ports/engine.ts'
import type { Live } from '../core/ports/live.ts'
import { createLive } from '../observability/live/live.ts'
import { LoopLag } from '../observability/live/loop-lag.ts'
import type { LoopMonitor } from '../observability/loop.ts'
import type { Catalogue } from '../routing/catalogue.ts'
import type { Settings } from './in-force.ts'
import type { Runtime } from './runtime.ts'

/** What was built from src/app is in dist/src/app. */
const ROOT = import.meta.url.endsWith('.ts') ? '../..' : '../../..'
/** Where the dashboard's files are. */
export const PAGE_FOLDER: string = fileURLToPath(new URL(`${ROOT}/dashboard/dist`, import.meta.url))

export interface LiveOf {
  readonly engine: Engine
  readonly catalogue: Pick<Catalogue, 'models'>
  readonly loop: LoopMonitor
  readonly node: string
  /** Without a path; null where there is none, or not yet. */
  readonly publicUrl: () => string | null
}

export function liveOf(settings: Settings, parts: LiveOf, runtime: Runtime): Live {
  const { engine, catalogue, loop, node, publicUrl } = parts
  const { clock, log } = runtime
  const lag = new LoopLag(loop.delay)

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
      kills: config.engine === 'embedded' ? 'call' : 'worker',
      models: catalogue.models.map(({ name }) => name),
      isNew: (await engine.jobs.list({ limit: 1 })).length === 0,
      glossary: GLOSSARY,
    }
  }

  async function foot(): Promise<Foot> {
    loop.refresh()
    const deployments = await engine.operations.deployments()
    const health = engine.health()
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
      storeError: health.ok ? null : SluiceError.from(health.error).wire,
    }
  }

  return createLive({
    clock,
    hello,
    foot,
    onFault: (err) => log.error({ err }, 'a page of the dashboard could not be told something'),
  })
}

const isDemo = ({ models }: Config): boolean => models.every(({ provider }) => provider === 'demo')

/** Null in the settings: open where there is nothing to hide. */
export const textOf = (config: Config): Hello['text'] => config.dashboard.text ?? (isDemo(config) ? 'shown' : 'asked')
export const killOf = (config: Config): boolean => config.dashboard.kill ?? isDemo(config)

function gaugeIn(metrics: readonly Metric[], name: string): number | null {
  const found = metrics.find((metric) => metric.name === name)
  return found?.kind === 'gauge' ? found.read() : null
}
