/**
 * `npm run dashboard -- --mode feed`: stands in for a server while pages are built. A scenario is chosen by
 * /dev/late, /dev/well, … in the address bar, or SLUICE_FEED; /dev/silent stops all frames, /dev/out signs out.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Plugin, PreviewServer, ViteDevServer } from 'vite'
import { WebSocketServer } from 'ws'
import type { LiveAsk, LiveTold, Range } from '../../src/core/live.ts'
import { changesOf, chartOf, footOf, helloOf, jobsOf, nowOf, SCENARIOS, type Scenario, traceOf } from './frames.ts'
import { MadeUpLine } from './line.ts'

const TICK_MS = 250

export function feed(): Plugin {
  let scenario: Scenario = SCENARIOS.find((name) => name === process.env['SLUICE_FEED']) ?? 'late'
  let isSilent = false
  let isOut = false
  return {
    name: 'sluice-feed',
    configureServer: (server) => stand(server),
    // What is built, before the same feed: to measure it
    configurePreviewServer: (server) => stand(server),
  }

  function stand({ httpServer, middlewares }: ViteDevServer | PreviewServer): void {
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'sluice.live.v1' })
    httpServer?.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (request.url !== '/admin/live') return
      sockets.handleUpgrade(request, socket, head, (page) => {
        const send = (told: LiveTold): void => (isSilent ? undefined : page.send(JSON.stringify(told)))
        const line = new MadeUpLine(scenario === 'well' || scenario === 'load' ? scenario : 'late')
        let asked: LiveAsk = { t: 'watch', page: 'foot' }
        let ticks = 0
        send({ t: 'hello', ...helloOf(scenario) })
        const whole = (): void => {
          const nowMs = Date.now()
          send({ t: 'foot', ...footOf(scenario, nowMs) })
          if (asked.page === 'now') {
            send({ t: 'now', ...nowOf(scenario, asked.range, nowMs) })
            send({ t: 'chart', ...chartOf(scenario, asked.range, nowMs) })
            send({ t: 'changes', changes: changesOf(scenario, nowMs) })
            if (scenario !== 'new') send({ t: 'line', ...line.line(asked.rows, nowMs) })
          }
          if (asked.page === 'now' || asked.page === 'jobs') send({ t: 'jobs', jobs: jobsOf(scenario, nowMs) })
          if (asked.page === 'job') send({ t: 'job', ...traceOf(asked.job, nowMs) })
        }
        page.on('message', (data) => {
          asked = JSON.parse(String(data)) as LiveAsk
          whole()
        })
        const timer = setInterval(() => {
          line.step(TICK_MS)
          const nowMs = Date.now()
          if (asked.page === 'now' && scenario !== 'new') send({ t: 'line', ...line.line(asked.rows, nowMs) })
          if (++ticks % 4 !== 0) return
          send({ t: 'foot', ...footOf(scenario, nowMs) })
          if (asked.page === 'now') {
            send({ t: 'now', ...nowOf(scenario, asked.range, nowMs) })
            if (typeof asked.range === 'string') send({ t: 'chart', ...lastOf(asked.range, nowMs) })
          }
          if (asked.page === 'now' || asked.page === 'jobs')
            send({ t: 'jobs', jobs: jobsOf(scenario, nowMs, Math.floor(ticks / 8), 2) })
        }, TICK_MS)
        page.on('close', () => clearInterval(timer))
      })
    })
    const lastOf = (range: Range, nowMs: number): ReturnType<typeof chartOf> => {
      const whole = chartOf(scenario, range, nowMs)
      const from = whole.buckets - 2
      const cut = <T>(column: readonly T[]): readonly T[] => column.slice(from)
      return JSON.parse(
        JSON.stringify({ ...whole, from }, (name, value) =>
          Array.isArray(value) && name !== 'heatRows' && value.length === whole.buckets ? cut(value) : value,
        ),
      )
    }
    middlewares.use((request, response, next) => {
      const json = (body: unknown, status = 200): void => {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(body))
      }
      const url = request.url?.split('?')[0] ?? ''
      if (url.startsWith('/dev/')) {
        const wanted = url.slice(5)
        if (wanted === 'silent') isSilent = !isSilent
        else if (wanted === 'out') isOut = !isOut
        else scenario = SCENARIOS.find((name) => name === wanted) ?? scenario
        for (const page of sockets.clients) if (wanted !== 'silent') page.close()
        json({ scenario, isSilent, isOut })
      } else if (url === '/admin/session') {
        if (request.method === 'DELETE') isOut = true
        if (request.method === 'POST') isOut = false
        if (isOut) json({ error: { code: 'unauthorized', message: 'Sign in.' } }, 401)
        else json({ role: 'admin' })
      } else if (url.startsWith('/admin/')) {
        json({ error: { code: 'not_found', message: 'The made-up feed has no such answer.' } }, 404)
      } else next()
    })
  }
}
