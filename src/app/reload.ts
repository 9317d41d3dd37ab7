/**
 * A new configuration for a running server, all of it or nothing: models, tenants and what goes with them are replaced
 * in one turn of the event loop; other changes need a restart, and are listed.
 */
import type { Config } from '../config/schema.ts'
import { SluiceError } from '../core/errors.ts'
import type { Audit, AuditEntry } from '../core/ports/audit.ts'
import type { Log } from '../observability/report.ts'
import type { Reloaded, ServedBy, Settings } from './in-force.ts'
import type { Runtime } from './runtime.ts'
import { warnOfJobsWithoutModel } from './without-model.ts'

export interface ReloadOptions {
  readonly log: Log
  /** Reads the configuration again. Throws config_invalid. */
  readonly configAgain?: () => Config
  /** A reload has put this one in force. */
  readonly onReload?: (config: Config) => void
}

interface Advice {
  /** False: a sibling tells the operator what each of them would. */
  readonly advises: boolean
}

/**
 * A reload that logs its outcome, and how many jobs wait for models that are gone. Rejects with config_invalid; then
 * nothing has changed.
 */
export function reloader(
  settings: Settings,
  parts: ServedBy,
  { log, configAgain, onReload, advises }: ReloadOptions & Advice,
): () => Promise<Reloaded> {
  const reload = async (): Promise<Reloaded> => {
    if (configAgain === undefined)
      throw new SluiceError('invalid_request', { message: 'This server has no configuration to reload.' })
    try {
      const reloaded = await settings.reload(configAgain(), parts)
      onReload?.(settings.config)
      const { models, tenants, changed, needsRestart } = reloaded
      log.info({ models, tenants, changed, needs_restart: needsRestart }, 'the configuration was reloaded')
      if (advises) await warnOfJobsWithoutModel(parts.engine.jobs, parts.catalogue, log)
      return reloaded
    } catch (error) {
      const reason = (error as Error).message
      log.error({ reason }, 'the configuration was not reloaded; the one before stays in force')
      throw error
    }
  }
  // One after the other: the last one to read the configuration is the last one to put it in force
  let last: Promise<unknown> = Promise.resolve()
  return () => {
    const next = last.then(reload)
    last = next.catch(() => {})
    return next
  }
}

/** One that a signal asked for: requests tell of their own. It stays in force where that can't be kept. */
export async function auditReload(
  audit: Audit,
  { clock, emit, log }: Pick<Runtime, 'clock' | 'emit' | 'log'>,
  { models, tenants, changed, needsRestart }: Reloaded,
): Promise<void> {
  const entry: AuditEntry = {
    atMs: Math.floor(clock.wallMs()),
    from: 'SIGHUP',
    requestId: '',
    action: 'config-reloaded',
    target: 'configuration',
    tenant: null,
    before: {},
    after: { models, tenants, changed, needs_restart: needsRestart },
  }
  emit({ type: 'admin-changed', ...entry })
  await audit.add(entry).catch((err: unknown) => log.error({ err }, 'a reload could not be kept in the audit'))
}
