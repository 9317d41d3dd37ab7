/** A page of the dashboard, as a test opens it. */
import { WebSocket } from 'ws'
import type { LiveAsk, LiveTold } from '../../src/core/live.ts'
import { ADMIN_KEY, type TestApp } from './app.ts'

type Told<T extends LiveTold['t']> = Extract<LiveTold, { t: T }>

export interface LivePage {
  readonly told: LiveTold[]
  /** Bytes of each frame, as they came. */
  readonly sizes: number[]
  ask(ask: LiveAsk | object): void
  /** The next frame of this type that the test accepts; those before are looked at, too. */
  next<T extends LiveTold['t']>(t: T, ok?: (told: Told<T>) => boolean): Promise<Told<T>>
  /** Forgets what has come. */
  clear(): void
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  readonly ws: WebSocket
  close(): void
}

const WAIT_MS = 60_000

export const byKey = { authorization: `Bearer ${ADMIN_KEY}` }

export function openPage(app: Pick<TestApp, 'adminPort'>, headers: Record<string, string> = byKey): Promise<LivePage> {
  const ws = new WebSocket(`ws://127.0.0.1:${app.adminPort}/admin/live`, 'sluice.live.v1', { headers })
  const told: LiveTold[] = []
  const sizes: number[] = []
  const waiting = new Set<() => void>()
  ws.on('message', (data) => {
    const text = String(data)
    sizes.push(text.length)
    told.push(JSON.parse(text) as LiveTold)
    for (const look of waiting) look()
  })
  const closed = new Promise<{ code: number; reason: string }>((done) =>
    ws.on('close', (code, reason) => done({ code, reason: String(reason) })),
  )
  const page: LivePage = {
    told,
    sizes,
    ws,
    closed,
    ask: (ask) => ws.send(JSON.stringify(ask)),
    clear() {
      told.length = 0
      sizes.length = 0
    },
    close: () => ws.close(),
    next: (t, ok = () => true) =>
      new Promise((done, failed) => {
        const late = setTimeout(() => {
          waiting.delete(look)
          failed(new Error(`no ${t}; last: ${JSON.stringify(told.at(-1))?.slice(0, 600)}`))
        }, WAIT_MS)
        const look = (): void => {
          const found = told.find((each): each is Told<typeof t> => each.t === t && ok(each as Told<typeof t>))
          if (found === undefined) return
          clearTimeout(late)
          waiting.delete(look)
          done(found)
        }
        waiting.add(look)
        look()
      }),
  }
  return new Promise((done, failed) => {
    ws.on('open', () => done(page))
    ws.on('unexpected-response', (_request, response) => failed(new Error(`HTTP ${response.statusCode}`)))
    ws.on('error', failed)
  })
}
