/** A button can cut this page's connections, as a tunnel or a sleeping laptop would. The client knows nothing of it. */
const sockets = new Set<WebSocket>()
const streams = new Set<AbortController>()

class CuttableWebSocket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols)
    sockets.add(this)
    this.addEventListener('close', () => sockets.delete(this))
  }
}
globalThis.WebSocket = CuttableWebSocket

/** Event streams: what is read where WebSockets are blocked. */
const { fetch } = globalThis
globalThis.fetch = (input, init) => {
  if (new Headers(init?.headers).get('accept') !== 'text/event-stream') return fetch(input, init)
  const wire = new AbortController()
  streams.add(wire)
  const forget = (): boolean => streams.delete(wire)
  init?.signal?.addEventListener('abort', forget)
  const signal = AbortSignal.any([wire.signal, ...(init?.signal ? [init.signal] : [])])
  return fetch(input, { ...init, signal })
}

export function cutConnection(): void {
  for (const socket of sockets) {
    socket.close()
    socket.dispatchEvent(new CloseEvent('close', { code: 1006 })) // a cut wire takes no leave
  }
  for (const stream of streams) stream.abort()
  streams.clear()
}
