/** `sluice top`: what the dashboard's Now shows, in a terminal. */
import { isatty } from 'node:tty'
import { systemClock as clock } from '../core/clock.ts'
import type { LiveAsk, LiveTold } from '../core/live.ts'
import { ADMIN_OPTIONS, adminClient, type Client } from './client.ts'
import { type Command, EXIT, FailedError, type Output, RefusedError, UnreachableError } from './command.ts'
import { onSignal } from './signals.ts'
import { type TopView, viewOf } from './top-view.ts'

const ASK: LiveAsk = { t: 'watch', page: 'now', range: '15m', rows: 'tenant', node: null }
const SUBPROTOCOL = 'sluice.live.v1'
/** All that is shown has come by then. */
const FIRST_MS = 10_000
/** Clears from here to the end, after the cursor went home. */
const HOME = '\x1b[H'
const CLEAR_LINE = '\x1b[K'
const CLEAR_REST = '\x1b[J'
const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'

export const command: Command = {
  usage: 'top [--json]',
  about:
    'Shows what a running server does now: is it well, and if not, why; who waits, what runs, its deployments.\n' +
    'Ctrl-C ends it. Without a terminal, or with --json, it prints one picture and ends.',
  options: ADMIN_OPTIONS,
  takesSettings: ['admin-port', 'data-dir'],
  async run(args, out) {
    const client = adminClient(args)
    const isOnce = args.has('json') || !isatty(1)
    const view = await watch(client, out, isOnce)
    if (args.has('json')) out.print(JSON.stringify(view))
    else if (isOnce) for (const line of viewOf(view, 120)) out.print(line)
    return EXIT.ok
  },
}

async function watch(client: Client, out: Output, isOnce: boolean): Promise<TopView> {
  // Of a server that is not there, or a wrong key, the reason is told as by any other command
  await client.call('GET', '/admin/session')
  const { WebSocket } = await import('ws')
  const url = `${client.url.replace(/^http/, 'ws')}/admin/live`
  const ws = new WebSocket(url, SUBPROTOCOL, { headers: { authorization: `Bearer ${client.key}` } })
  const view: TopView = {}
  return new Promise((done, failed) => {
    const end = (error: Error | null): void => {
      late()
      ws.removeAllListeners()
      ws.on('error', () => {})
      ws.close()
      if (!isOnce) out.write(LEAVE)
      if (error === null) done(view)
      else failed(error)
    }
    const late = clock.after(FIRST_MS, () =>
      end(new UnreachableError(`${client.url} accepts connections, but tells nothing.`)),
    )
    if (!isOnce) {
      out.write(ENTER)
      onSignal(() => end(null))
    }
    ws.on('open', () => ws.send(JSON.stringify(ASK)))
    ws.on('error', (error) => end(new UnreachableError(`no answer from ${client.url} (${error.message})`)))
    ws.on('close', (code, reason) =>
      end(
        code === 1008
          ? new RefusedError(String(reason))
          : new FailedError(`the server ended the connection: ${reason || code}`),
      ),
    )
    ws.on('message', (data) => {
      take(view, JSON.parse(String(data)) as LiveTold)
      if (view.now === undefined || view.line === undefined || view.foot === undefined) return
      late()
      if (isOnce) return end(null)
      out.write(HOME)
      const { columns = 80, rows = 24 } = process.stdout
      for (const line of viewOf(view, columns).slice(0, rows - 1)) out.write(`${line}${CLEAR_LINE}\n`)
      out.write(CLEAR_REST)
    })
  })
}

function take(view: TopView, told: LiveTold): void {
  switch (told.t) {
    case 'hello':
      view.hello = told
      return
    case 'foot':
      view.foot = told
      return
    case 'now':
      view.now = told
      return
    case 'line':
      view.line = told
      return
    default:
  }
}
