/** `processes`: which of them this one is. */
import cluster from 'node:cluster'
import { createServer } from 'node:net'
import type { Config } from '../../config/schema.ts'
import { systemClock as clock } from '../../core/clock.ts'
import type { Lifecycle } from '../lifecycle.ts'
import type { ServerLog } from '../log.ts'
import type { Ready } from '../screen.ts'
import { onSignal } from '../signals.ts'
import { Child } from './child.ts'
import { Parent } from './parent.ts'

/** Null: it is the parent. */
export const childOf = (lifecycle: Lifecycle): Child | null =>
  cluster.isWorker ? new Child(clock, () => lifecycle.signal('SIGTERM')) : null

/** `ready`: null where the start failed, or was stopped. */
export async function startAll(
  config: Config,
  log: ServerLog,
): Promise<{ readonly ready: Ready | null; readonly ended: Promise<number> }> {
  const { processes, workers, host, admin } = config
  // A process that follows another one must find its ports again
  const port = config.port === 0 ? await freePort(host) : config.port
  const adminPort = admin.port === 0 ? await freePort(admin.host) : admin.port
  const ports = ['--port', String(port), '--admin-port', String(adminPort)]
  const args = [...process.argv.slice(2), ...ports]
  const parent = new Parent({ processes, args, drainMs: workers.drainMs }, log, clock)
  onSignal(parent.signal)
  return { ready: await parent.start(), ended: parent.ended }
}

async function freePort(host: string): Promise<number> {
  const probe = createServer()
  await new Promise<void>((done, failed) => probe.once('error', failed).listen(0, host, done))
  const { port } = probe.address() as { readonly port: number }
  await new Promise((done) => probe.close(done))
  return port
}
