/**
 * A server that says what it is told to, for what a real one does not do when asked: lose frames, refuse, fall silent.
 */
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import type { ClientFrame, ServerFrame } from '../../src/core/frames.ts'

export interface Peer {
  say(...frames: ServerFrame[]): void
  close(code: number, reason?: string): void
  /** Answers nothing any more, not even to pings. */
  freeze(): void
}
export type Script = (frame: ClientFrame, peer: Peer, connection: number) => void

export interface Scripted {
  readonly url: string
  /** All that was heard, by connection, and when each came, ms. */
  readonly heard: ClientFrame[][]
  readonly cameAt: number[]
  stop(): void
}

export const welcome: ServerFrame = {
  t: 'welcome',
  conn: 'c',
  heartbeat_ms: 20_000,
  max_message_bytes: 262_144,
  max_jobs: 1_000,
  max_messages_per_second: 1_000,
}

export async function scripted(script: Script): Promise<Scripted> {
  const heard: ClientFrame[][] = []
  const cameAt: number[] = []
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'sluice.v1' })
  server.on('connection', (ws: WebSocket) => {
    const frames: ClientFrame[] = []
    const connection = heard.push(frames)
    cameAt.push(performance.now())
    let frozen = false
    const peer: Peer = {
      say: (...all) => {
        for (const frame of all) ws.send(JSON.stringify(frame))
      },
      close: (code, reason) => ws.close(code, reason),
      freeze: () => {
        frozen = true
      },
    }
    ws.on('message', (data) => {
      const frame = JSON.parse(String(data)) as ClientFrame
      frames.push(frame)
      if (!frozen) script(frame, peer, connection)
    })
  })
  await new Promise((done) => server.once('listening', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    cameAt,
    stop() {
      for (const ws of server.clients) ws.terminate()
      server.close()
    },
  }
}
