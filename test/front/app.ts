/** A whole Sluice inside the test's process, in memory, on free ports, with the demo model. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/load.ts'

export const ADMIN_KEY = 'canary-admin-key-0123456789abcdef'

export interface TestApp {
  readonly port: number
  readonly adminPort: number
  /** A key of the tenant `default`. */
  readonly key: string
  /** All that was logged, at every level. */
  readonly log: string[]
  addKey(tenant: string, more?: object): Promise<{ id: string; key: string }>
  stop(): Promise<void>
}

/** `http`: settings under that name. */
export async function startTestApp(
  http: Readonly<Record<string, unknown>> = {},
  more: Readonly<Record<string, unknown>> = {},
): Promise<TestApp> {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-front-'))
  const file = join(dir, 'sluice.yaml')
  const models = [
    { name: 'demo', provider: 'demo' },
    { name: 'talks', provider: 'demo', kinds: ['chat'] },
  ]
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
      ...more,
    }),
  )
  const { config } = loadConfig({ file, env: { SLUICE_ADMIN_KEY: ADMIN_KEY } })
  const log: string[] = []
  const write = (fact: object, message?: string): void =>
    void log.push(
      `${message ?? ''} ` +
        `${JSON.stringify(fact, (_k, v: unknown) => (v instanceof Error ? `${v.stack} ${v.cause}` : v))}`,
    )
  const app = await startApp(config, { log: { debug: write, info: write, warn: write, error: write } })
  return {
    port: Number(new URL(app.publicUrl).port),
    adminPort: Number(new URL(app.adminUrl).port),
    key: app.createdKey!,
    log,
    async addKey(tenant, more = {}) {
      const response = await fetch(`${app.adminUrl}/admin/keys`, {
        method: 'POST',
        headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
        body: JSON.stringify({ tenant, ...more }),
      })
      return (await response.json()) as { id: string; key: string }
    },
    async stop() {
      await app.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
