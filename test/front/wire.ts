/** HTTP by hand: sends the very bytes it is told to, and reads what comes back. */
import { connect } from 'node:net'

export interface Answer {
  /** 0 when the connection ended without an answer. */
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** `error.code` of a JSON body. */
  readonly code: string | null
  /** Did the server close the connection within the time? */
  readonly closed: boolean
  readonly tookMs: number
}

export interface SendOptions {
  /** Gives up after: it never comes. */
  readonly withinMs?: number
  /** Waits for the close, instead of returning with the answer. */
  readonly untilClosed?: boolean
  /** Sent `everyMs`, one after the other, after the first bytes. */
  readonly drip?: { readonly bytes: string; readonly everyMs: number }
  /** Closes our side after the bytes. */
  readonly end?: boolean
}

/** Sends `bytes` on a fresh connection and reads one answer. */
export function send(port: number, bytes: string | Buffer, options: SendOptions = {}): Promise<Answer> {
  const { withinMs = 20_000, untilClosed = false, drip, end = false } = options
  return new Promise((resolve) => {
    const startedAt = performance.now()
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let text = ''
    const finish = (closed: boolean): void => {
      clearTimeout(late)
      clearInterval(dripping)
      socket.destroy()
      resolve({ ...parse(text), closed, tookMs: performance.now() - startedAt })
    }
    const late = setTimeout(() => finish(false), withinMs)
    const dripping = drip ? setInterval(() => socket.write(drip.bytes, 'latin1'), drip.everyMs) : undefined
    socket.on('error', () => {})
    socket.on('data', (data) => {
      text += data.toString('latin1')
      if (!untilClosed && isWhole(text)) finish(false)
    })
    socket.on('end', () => finish(true))
    socket.on('close', () => finish(true))
    if (typeof bytes === 'string') socket.write(bytes, 'latin1')
    else socket.write(bytes)
    if (end) socket.end()
  })
}

/** `100 Continue` is no answer. */
const final = (text: string): string => text.replace(/^HTTP\/1\.1 100 [^\r]*\r\n\r\n/, '')

function isWhole(text: string): boolean {
  const answer = final(text)
  const head = answer.indexOf('\r\n\r\n')
  if (head < 0) return false
  if (answer.startsWith('HTTP/1.1 204')) return true
  const length = /\r\ncontent-length: (\d+)/i.exec(answer.slice(0, head))
  if (length !== null) return answer.length >= head + 4 + Number(length[1])
  return isChunked(answer.slice(0, head)) && answer.endsWith('\r\n0\r\n\r\n')
}

const isChunked = (head: string): boolean => /\r\ntransfer-encoding: chunked/i.test(head)

/** The chunks' content. */
function unchunk(text: string): string {
  let content = ''
  for (let at = 0; at < text.length; ) {
    const line = text.indexOf('\r\n', at)
    const size = line < 0 ? 0 : Number.parseInt(text.slice(at, line), 16)
    if (!(size > 0)) break
    content += text.slice(line + 2, line + 2 + size)
    at = line + 2 + size + 2
  }
  return content
}

function parse(text: string): Omit<Answer, 'closed' | 'tookMs'> {
  const [head, ...rest] = final(text).split('\r\n\r\n')
  const [first, ...lines] = head.split('\r\n')
  const sent = rest.join('\r\n\r\n')
  const body = Buffer.from(isChunked(head) ? unchunk(sent) : sent, 'latin1').toString('utf8')
  const headers = Object.fromEntries(
    lines.map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]),
  )
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(first)?.[1] ?? 0), headers, body, code: codeOf(body) }
}

function codeOf(body: string): string | null {
  try {
    return (JSON.parse(body) as { error?: { code?: string } }).error?.code ?? null
  } catch {
    return null
  }
}

/** One request in good form; `headers` and `body` may be anything. */
export function request(
  method: string,
  target: string,
  headers: Readonly<Record<string, string>> = {},
  body: string | Buffer = '',
): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : body
  const all: Record<string, string> = {
    host: 'sluice.test',
    ...(bytes.length > 0 || method === 'POST'
      ? { 'content-length': String(bytes.length), 'content-type': 'application/json' }
      : {}),
    ...headers,
  }
  const lines = Object.entries(all).map(([k, v]) => `${k}: ${v}\r\n`)
  return Buffer.concat([Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'), bytes])
}

/** The body of a chat request to the demo model. */
export const chat = (content: unknown, more: object = {}): Record<string, unknown> => ({
  model: 'demo',
  messages: [{ role: 'user', content }],
  ...more,
})
