/** How an engine of one's own is asked whether it works: its settings, and what holds where they say nothing. */
import { z } from 'zod'
import { duration, flag } from './fields.ts'
import type { EngineChecks, SettingsOf } from './provider.ts'

const path = () =>
  z
    .string()
    .regex(/^\/[\x21-\x22\x24-\x7e]{0,199}$/, 'expected a path, such as "/health"')
    .nullable()
    .prefault(null)

export const healthShape = {
  health: z
    .strictObject({
      enabled: flag()
        .nullable()
        .prefault(null)
        .describe(
          'Is its server asked whether it works? Null: vllm, sglang, llamacpp and ollama are, on this machine or in ' +
            'a private network; others, where `path` is set.',
        ),
      path: path().describe("A page of its server that answers 200 while it works. Null: the engine's own."),
      metrics_path: path().describe(
        "A page with its load, in Prometheus' format. Null: the engine's own, where it shows one.",
      ),
      interval_ms: duration({ min: 500, max: 3_600_000 })
        .prefault('5s')
        .describe('How often, by one process of a fleet.'),
      timeout_ms: duration({ min: 50, max: 60_000 }).prefault('2s').describe('How long it may take to answer.'),
    })
    .prefault({})
    .describe('Checks of an engine of your own. Two that fail in a row leave it alone until one succeeds.'),
}

/** Pages of an engine, below the address of its server. */
export interface EnginePages {
  readonly health: string
  readonly metrics: string | null
}

type Given = SettingsOf<typeof healthShape> & { readonly baseUrl: string | null }

export function checksOf({ baseUrl, health }: Given, home: string, engine: EnginePages | null): EngineChecks | null {
  const url = new URL(baseUrl ?? home)
  const below = url.pathname.replace(/\/+$/, '').replace(/\/v1$/, '')
  const path = health.path ?? (engine && `${below}${engine.health}`)
  const isOn = health.enabled ?? (health.path !== null || isNear(url.hostname))
  if (!isOn || path === null) return null
  const own = engine?.metrics ?? null
  const metricsPath = health.metricsPath ?? (own === null ? null : `${below}${own}`)
  return { path, metricsPath, intervalMs: health.intervalMs, timeoutMs: health.timeoutMs }
}

/** It can't be asked where nobody says how. */
export function checkHealth(
  { health }: { readonly health: { readonly enabled: boolean | null; readonly path: string | null } },
  refuse: (setting: string, problem: string) => void,
): void {
  if (health.enabled === true && health.path === null)
    refuse('health', 'needs a "path": it is not known of this provider')
}

const PRIVATE = [
  /^127\./,
  /^10\./,
  /^192\.168\./,
  /^172\.(1[6-9]|2\d|3[01])\./,
  /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./,
]
const PRIVATE_V6 = /^\[(::1|f[cd][\da-f]{2}:.*|fe[89ab][\da-f]:.*)\]$/
const PRIVATE_NAMES = /^localhost$|\.(localhost|local|internal|lan|home\.arpa|svc|cluster\.local|ts\.net)\.?$/

/**
 * Is it on this machine, or in a private network? What is asked there costs nobody anything. `host`: of a URL, so in
 * lower case, and IPv6 in brackets. Metadata services of clouds (169.254) are not.
 */
export function isNear(host: string): boolean {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(host)) return PRIVATE.some((range) => range.test(host))
  if (host.startsWith('[')) return PRIVATE_V6.test(host)
  // A name without a dot is one of this network: of Compose, or of a namespace
  return PRIVATE_NAMES.test(host) || !host.includes('.')
}
