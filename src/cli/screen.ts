/** What `sluice serve` shows at its start. */
import type { App } from '../app.ts'
import type { Config } from '../config/schema.ts'
import { version } from '../config/version.ts'
import { invocation } from './command.ts'
import { columns } from './table.ts'

/** What is shown of a server. */
export interface Ready extends Pick<App, 'publicUrl' | 'adminUrl' | 'createdKey'> {
  /** A new link into the dashboard; none: nobody who is shown this may use one, or it could not be made. */
  readonly link?: string | null
}

/** For machines: one JSON line. The key itself goes to a terminal or into a file, never into a journal. */
export function readyLine(app: Ready, config: Config, keyFile: string | null, time: string): string {
  return JSON.stringify({
    level: 'info',
    time,
    event: 'ready',
    version,
    url: app.publicUrl,
    admin_url: app.adminUrl,
    key_file: app.createdKey === null ? null : keyFile,
    data_dir: config.dataDir,
    role: config.role,
    msg: `Sluice is ready on ${app.publicUrl ?? app.adminUrl}`,
  })
}

/** For people. The curl line works as it is copied. */
export function screen(app: Ready, config: Config, readyMs: number): string[] {
  const key = app.createdKey ?? '$SLUICE_API_KEY'
  const model = config.models.find((m) => !m.name.endsWith('*'))?.name ?? config.models[0].name.replace('*', '…')
  const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'Hello' }] })
  const about = [
    ['API key', apiKey(app, config)],
    ['Models', [...new Set(config.models.map((m) => m.name))].join(', ')],
    ['Dashboard', dashboard(app)],
    ['Admin', `${app.adminUrl}   (its key: ${adminKey(config)})`],
    config.engine === 'embedded'
      ? ['Data', `${config.dataDir}   (durability: ${config.durability})`]
      : ['Store', `Redis   (durability: ${config.durability})`],
  ]
  const head = [
    app.publicUrl === null
      ? `Sluice ${version} is ready: a worker, with its probes on ${app.adminUrl}   (${readyMs} ms)`
      : `Sluice ${version} is ready on ${app.publicUrl}   (${readyMs} ms)`,
    '',
    ...columns(about).map((line) => `  ${line}`),
    '',
  ]
  if (app.publicUrl === null) return head
  return [
    ...head,
    '  Try it:',
    '',
    `curl -N ${app.publicUrl}/v1/chat/completions -H "authorization: Bearer ${key}" ` +
      `-H 'content-type: application/json' -d '${body}'`,
    '',
  ]
}

function apiKey(app: Ready, config: Config): string {
  if (app.createdKey !== null) return `${app.createdKey}   (shown once; to create more: ${invocation} keys create)`
  if (config.key !== null) return `the value of ${config.key}   (clients read it from SLUICE_API_KEY)`
  return `created earlier   (to create another: ${invocation} keys create)`
}

/** The link is for whoever reads this screen: it is in no log. */
function dashboard({ link = null }: Ready): string {
  const again = `${invocation} dashboard`
  return link === null ? `${again} prints a link` : `${link}   (works once; again: ${again})`
}

function adminKey(config: Config): string {
  if (config.admin.key !== null) return `the value of ${config.admin.key}`
  return config.engine === 'embedded' && config.durability === 'memory'
    ? 'set SLUICE_ADMIN_KEY to have one'
    : `${config.dataDir}/admin.key`
}
