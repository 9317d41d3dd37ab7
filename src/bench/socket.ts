/** Calls over one WebSocket, `sluice.v1`: many jobs at once, each measured as its frames arrive. */
import { WebSocket } from 'ws'
import type { Clock } from '../core/clock.ts'
import { isObject, type JsonObject } from '../core/fold.ts'
import { type Call, type Called, type Caller, codeOf, shortCode } from './http.ts'
import { StreamMeasure } from './stream.ts'
import { keeper } from './told.ts'

export interface SocketOptions {
  readonly clock: Clock
  readonly base: string
  readonly headers: Readonly<Record<string, string>>
  readonly silenceMs: number
  readonly answerMs: number
}

interface Open {
  readonly measure: StreamMeasure
  job: string | null
  cache: string | null
  heardMono: number
  finish(code: string | null): void
}

const OPEN_MS = 10_000

export function socketCaller({ clock, base, headers, silenceMs, answerMs }: SocketOptions): Caller {
  const kept = keeper(headers)
  /** By the id of their submit, and by job once that is known. */
  const open = new Map<string, Open>()
  const jobs = new Map<string, Open>()
  let socket: WebSocket | null = null
  let opening: Promise<WebSocket | null> | null = null

  function connect(): Promise<WebSocket | null> {
    if (socket?.readyState === WebSocket.OPEN) return Promise.resolve(socket)
    opening ??= new Promise<WebSocket | null>((done) => {
      const made = new WebSocket(`${base.replace(/^http/, 'ws')}/v1/ws`, 'sluice.v1', {
        headers,
        handshakeTimeout: OPEN_MS,
        perMessageDeflate: false,
      })
      made.on('open', () => {
        socket = made
        done(made)
      })
      made.on('message', (data: Buffer) => took(data))
      made.on('error', () => done(null))
      made.on('close', () => {
        done(null)
        socket = null
        for (const each of [...open.values()]) each.finish('connection_lost')
      })
    }).finally(() => {
      opening = null
    })
    return opening
  }

  /** A frame that isn't understood says nothing. */
  function took(data: Buffer): void {
    const atMono = clock.monoMs()
    let frame: unknown
    try {
      frame = JSON.parse(data.toString('utf8'))
    } catch {
      return
    }
    if (!isObject(frame)) return
    const found =
      (typeof frame['id'] === 'string' ? open.get(frame['id']) : undefined) ??
      (typeof frame['job'] === 'string' ? jobs.get(frame['job']) : undefined)
    if (found !== undefined) tell(found, frame, atMono)
  }

  function tell(found: Open, frame: JsonObject, atMono: number): void {
    found.heardMono = atMono
    switch (frame['t']) {
      case 'accepted':
        if (typeof frame['job'] === 'string') {
          found.job = frame['job']
          jobs.set(found.job, found)
        }
        if (typeof frame['cache'] === 'string') found.cache = frame['cache']
        return
      case 'ev':
        found.measure.began(atMono)
        if (Array.isArray(frame['e'])) for (const event of frame['e']) if (isObject(event)) one(found, event, atMono)
        return
      case 'gap':
        return found.measure.event('{}', 'gap', atMono)
      case 'end':
        found.measure.take(frame, 'end', atMono)
        return found.finish(null)
      case 'error': {
        const error = frame['error']
        return found.finish(shortCode(isObject(error) ? String(error['code'] ?? 'error') : 'error'))
      }
    }
  }

  const one = (found: Open, event: JsonObject, atMono: number): void => {
    for (const name of Object.keys(event)) found.measure.take(event[name], name, atMono)
  }

  const call = async ({ id, body, scheduledMono }: Call, signal: AbortSignal): Promise<Called> => {
    const sentMono = clock.monoMs()
    const measure = new StreamMeasure(sentMono, scheduledMono, 'ws')
    const wasOpen = socket?.readyState === WebSocket.OPEN
    const through = await connect()
    const connectedMono = wasOpen ? null : clock.monoMs()
    return new Promise((resolve) => {
      const entry: Open = { measure, job: null, cache: null, heardMono: clock.monoMs(), finish }
      const patience = clock.every(Math.min(silenceMs, answerMs, 1_000), () => {
        const nowMono = clock.monoMs()
        if (nowMono - entry.heardMono >= silenceMs || nowMono - sentMono >= answerMs) finish('timeout')
      })
      const aborted = (): void => finish('aborted')
      signal.addEventListener('abort', aborted, { once: true })
      function finish(code: string | null): void {
        if (open.get(id) !== entry) return
        open.delete(id)
        if (entry.job !== null) jobs.delete(entry.job)
        patience()
        signal.removeEventListener('abort', aborted)
        if (code === null) measure.end(clock.monoMs())
        else measure.fail(code, code, clock.monoMs())
        const marks = measure.marks()
        resolve({
          marks: { ...marks, error: null, finishReason: kept(marks.finishReason) },
          connectedMono,
          status: code === null ? 200 : null,
          errorCode: codeOf(marks, kept),
          serverId: kept(entry.job),
          cache: kept(entry.cache),
        })
      }
      open.set(id, entry)
      if (through === null) return finish('connection_lost')
      through.send(`{"t":"submit","id":${JSON.stringify(id)},"request":${body}}`)
    })
  }

  return {
    call,
    warm: async () => void (await connect()),
    close: () => socket?.close(),
  }
}
