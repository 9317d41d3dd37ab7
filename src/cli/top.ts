/** `sluice top`: what the dashboard's Now shows, in a terminal. */
import { isatty } from 'node:tty'
import { systemClock as clock } from '../core/clock.ts'
import type { LiveAsk, LiveTold } from '../core/live.ts'
import { ADMIN_OPTIONS, adminClient, type Client } from './client.ts'
import { type Command, EXIT, FailedError, type Output, RefusedError, UnreachableError } from './command.ts'
import { withoutControls } from './pretty.ts'
import { onSignal } from './signals.ts'
import { type TopView, viewOf } from './top-view.ts'

const ASK: LiveAsk = { t: 'watch', page: 'now', range: '15m', rows: 'tenant', node: null }
const SUBPROTOCOL = 'sluice.live.v1'
/** All that is shown has come by then. */
const FIRST_MS = 10_000
/** How often it is looked whether the server still tells something. */
const LOOK_MS = 1_000
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
  await client.call('GET', '/admin/session', { withinMs: FIRST_MS })
  const { WebSocket } = await import('ws')
  const url = `${client.url.replace(/^http/, 'ws')}/admin/live`
  const ws = new WebSocket(url, SUBPROTOCOL, { headers: { authorization: `Bearer ${client.key}` } })
  const view: TopView = {}
  let heardMono = clock.monoMs()
  return new Promise((done, failed) => {
    const end = (error: Error | null): void => {
      late()
      stopLooking()
      ws.removeAllListeners()
      ws.on('error', () => {})
      ws.close()
      if (!isOnce) out.write(LEAVE)
      if (error === null) done(view)
      else failed(error)
    }
    /** What another server sends by the same address, or another version, ends it: nothing is made up of that. */
    const orEnd = (work: () => void): void => {
      try {
        work()
      } catch {
        end(new FailedError(`${client.url} tells its figures in a form that this version of sluice does not know.`))
      }
    }
    const draw = (): void => {
      const { columns, rows } = process.stdout
      const lines = viewOf(view, columns || 80, clock.monoMs() - heardMono)
      if (isOnce) return end(null)
      out.write(HOME)
      for (const line of lines.slice(0, (rows || 24) - 1)) out.write(`${withoutControls(line)}${CLEAR_LINE}\n`)
      out.write(CLEAR_REST)
    }
    const isWhole = (): boolean => view.now !== undefined && view.line !== undefined && view.foot !== undefined
    const late = clock.after(FIRST_MS, () =>
      end(new UnreachableError(`${client.url} accepts connections, but tells nothing.`)),
    )
    const stopLooking = clock.every(LOOK_MS, () => {
      if (isWhole() && clock.monoMs() - heardMono > LOOK_MS) orEnd(draw)
    })
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
    ws.on('message', (data) =>
      orEnd(() => {
        heardMono = clock.monoMs()
        take(view, JSON.parse(String(data)) as LiveTold)
        if (!isWhole()) return
        late()
        draw()
      }),
    )
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
