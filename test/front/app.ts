/** A whole Sluice inside the test's process, in memory, on free ports, with the demo model. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type StartOptions, startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'

export const ADMIN_KEY = 'canary-admin-key-0123456789abcdef'

export interface TestApp {
  readonly port: number
  readonly adminPort: number
  /** A key of the tenant `default`. */
  readonly key: string
  /** All that was logged, at every level. */
  readonly log: string[]
  addKey(tenant: string, more?: object): Promise<{ id: string; key: string }>
  /** The operator's: POST with the admin key. */
  admin(path: string, body?: object): Promise<Response>
  /** Puts other settings in force, of those that may change in a running server. */
  reload(more: Readonly<Record<string, unknown>>): Promise<void>
  stop(): Promise<void>
}

/** `http`: settings under that name. `env`: what references to secrets name. */
export async function startTestApp(
  http: Readonly<Record<string, unknown>> = {},
  more: Readonly<Record<string, unknown>> = {},
  env: Readonly<Record<string, string>> = {},
  options: Pick<StartOptions, 'dialects'> = {},
): Promise<TestApp> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-front-'))
  const file = join(dir, 'sluice.yaml')
  const models = [
    { name: 'demo', provider: 'demo' },
    { name: 'talks', provider: 'demo', kinds: ['chat'] },
  ]
  const configOf = (settings: Readonly<Record<string, unknown>>): Config => {
    // JSON is YAML
    writeFileSync(
      file,
      JSON.stringify({
        port: 0,
        admin: { port: 0 },
        data_dir: join(dir, 'data'),
        durability: 'memory',
        workers: { drain_ms: 2_000 },
        models,
        http,
        ...settings,
      }),
    )
    return loadConfig({ file, env: { SLUICE_ADMIN_KEY: ADMIN_KEY, ...env } }).config
  }
  let inForce = more
  const log: string[] = []
  const write = (fact: object, message?: string): void =>
    void log.push(
      `${message ?? ''} ` +
        `${JSON.stringify(fact, (_k, v: unknown) => (v instanceof Error ? `${v.stack} ${v.cause}` : v))}`,
    )
  const app = await startApp(configOf(more), {
    log: { writes: () => true, debug: write, info: write, warn: write, error: write },
    configAgain: () => configOf(inForce),
    ...options,
  })
  const admin = (path: string, body: object = {}): Promise<Response> =>
    fetch(`${app.adminUrl}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  return {
    port: Number(new URL(app.publicUrl!).port),
    adminPort: Number(new URL(app.adminUrl).port),
    key: app.createdKey!,
    log,
    addKey: async (tenant, more = {}) =>
      (await (await admin('/admin/keys', { tenant, ...more })).json()) as { id: string; key: string },
    admin,
    async reload(settings) {
      inForce = { ...inForce, ...settings }
      const response = await admin('/admin/reload')
      if (!response.ok) throw new Error(await response.text())
    },
    async stop() {
      await app.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
