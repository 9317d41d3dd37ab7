/** Where a listener is reached on its own machine; one on all interfaces, too. */
export function urlOf({ host, port }: { readonly host: string; readonly port: number }): string {
  const at = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${at.includes(':') ? `[${at}]` : at}:${port}`
}
