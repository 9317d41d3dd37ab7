/** `sluice dashboard`: a new link into the dashboard. */
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Command, EXIT } from './command.ts'

export const command: Command = {
  usage: 'dashboard [--role viewer]',
  about:
    'Prints a link into the dashboard of a running server. It works once, within ten minutes. Who opens it stays\n' +
    'signed in for 12 hours after the last use; with a Redis at all processes, without one until a restart.',
  options: {
    role: { value: 'ROLE', help: 'viewer (no texts, no keys), operator (acts on jobs), or admin (all; the default)' },
    ...ADMIN_OPTIONS,
  },
  takesSettings: ['admin-port', 'data-dir'],
  async run(args, out) {
    const client = adminClient(args)
    const body = { role: args.option('role') ?? 'admin' }
    const answer = await client.call('POST', '/admin/session/links', { body })
    const { path, role, expires_in_ms } = (await answer.json()) as { path: string; role: string; expires_in_ms: number }
    const url = client.url + path
    out.print(args.has('json') ? JSON.stringify({ url, role, expires_in_ms }) : url)
    return EXIT.ok
  },
}
