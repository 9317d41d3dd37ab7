/** This page's WebSockets can be cut by a button, as a tunnel or a sleeping laptop would. The client knows nothing of it. */
const open = new Set<WebSocket>()

class CuttableWebSocket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols)
    open.add(this)
    this.addEventListener('close', () => open.delete(this))
  }
}
globalThis.WebSocket = CuttableWebSocket

export function cutConnection(): void {
  for (const socket of open) {
    socket.close()
    socket.dispatchEvent(new CloseEvent('close', { code: 1006 })) // a cut wire takes no leave
  }
}
