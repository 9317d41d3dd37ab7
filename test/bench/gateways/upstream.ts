/**
 * upstream.ts PORT: an upstream that speaks chat, Responses and Messages, on bare sockets and with what it sends made
 * beforehand, as a slower one would be what is measured. "mock-n100-d20-f50": 100 tokens, 20 ms apart, the first after
 * 50 ms, one a write.
 */
import { createServer, type Socket } from 'node:net'
import { DIALECTS, type Dialect, TOKEN } from './dialects.ts'

const STREAM_HEAD =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n' +
  'transfer-encoding: chunked\r\nx-request-id: req_0123456789abcdef0123456789abcdef\r\n\r\n'
const LIST =
  'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n{"object":"list","data":[]}'

const chunked = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
const kept = <V>(make: (key: string) => V): ((key: string) => V) => {
  const all = new Map<string, V>()
  return (key) => {
    const value = all.get(key) ?? make(key)
    all.set(key, value)
    return value
  }
}

interface Asked {
  readonly dialect: Dialect
  readonly tokens: number
  readonly gapMs: number
  readonly firstMs: number
  readonly document: string
  readonly end: string
}

/** By path and the model's name. */
const askedFor = kept((key): Asked => {
  const [path, script] = key.split(' ')
  const dialect = Object.values(DIALECTS).find((each) => path.startsWith(each.path)) ?? DIALECTS.chat
  const number = (letter: string, otherwise: number): number =>
    Number(new RegExp(`-${letter}(\\d+)`).exec(script)?.[1] ?? otherwise)
  const tokens = number('n', 10)
  const text = dialect.document(tokens)
  const document =
    'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_0123456789abcdef0123456789abcdef\r\n' +
    `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
  const end = `${chunked(dialect.close(tokens))}0\r\n\r\n`
  return { dialect, tokens, gapMs: number('d', 0), firstMs: number('f', 0), document, end }
})

const piecesOf = new Map(
  Object.values(DIALECTS).map((dialect) => {
    const [before, after] = chunked(dialect.token).split(TOKEN)
    return [dialect, { open: STREAM_HEAD + chunked(dialect.open), before, after }] as const
  }),
)

function send(socket: Socket, asked: Asked): void {
  const { open, before, after } = piecesOf.get(asked.dialect)!
  let index = 0
  const next = (): void => {
    if (socket.destroyed) return
    if (index === asked.tokens) return void socket.write(asked.end, 'latin1')
    const us = String(process.hrtime.bigint() / 1_000n).padStart(13, '0')
    const token = `${before} tok${String(index).padStart(6, '0')}.${us}${after}`
    socket.write(index === 0 ? open + token : token, 'latin1')
    index++
    if (asked.gapMs > 0) setTimeout(next, Math.max(0, dueAt + index * asked.gapMs - performance.now()))
    else if (socket.writableNeedDrain) socket.once('drain', next)
    else setImmediate(next)
  }
  const dueAt = performance.now() + asked.firstMs
  if (asked.firstMs > 0) setTimeout(next, asked.firstMs)
  else next()
}

createServer({ noDelay: true }, (socket) => {
  let text = ''
  socket.setEncoding('latin1')
  socket.on('error', () => socket.destroy())
  socket.on('data', (part) => {
    text += part as unknown as string
    for (;;) {
      const found = requestIn(text)
      if (found === null) return
      text = text.slice(found.bytes)
      if (found.body === null) socket.write(LIST)
      else {
        const script = /mock-[a-z0-9-]*/.exec(found.body)?.[0] ?? ''
        const asked = askedFor(`${found.path} ${script}`)
        if (/"stream"\s*:\s*true/.test(found.body)) send(socket, asked)
        else if (asked.firstMs === 0) socket.write(asked.document, 'latin1')
        else setTimeout(() => socket.write(asked.document, 'latin1'), asked.firstMs)
      }
    }
  })
}).listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4_096 })

/** The first whole request of what has come; `body`: null where it has none. */
function requestIn(text: string): { path: string; body: string | null; bytes: number } | null {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd < 0) return null
  const head = text.slice(0, headEnd)
  const [method, path] = head.split(' ', 2)
  const start = headEnd + 4
  if (method !== 'POST') return { path, body: null, bytes: start }
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)
  if (length !== null) {
    const bytes = start + Number(length[1])
    return text.length < bytes ? null : { path, body: text.slice(start, bytes), bytes }
  }
  const end = text.indexOf('\r\n0\r\n\r\n', headEnd)
  return end < 0 ? null : { path, body: text.slice(start, end), bytes: end + 7 }
}
