/**
 * Server-sent events from the bytes of a response, as the HTML standard reads them. An event that is cut off is
 * dropped.
 */
export interface ServerEvent {
  readonly id: string | null
  readonly type: string
  readonly data: string
}

export async function* splitEvents(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  let id: string | null = null
  let type = 'message'
  let data: string[] = []
  for await (const bytes of chunks) {
    rest += decoder.decode(bytes, { stream: true })
    const lines = rest.split('\n')
    rest = lines.pop()!
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
      if (line === '') {
        if (data.length > 0) yield { id, type, data: data.join('\n') }
        id = null
        type = 'message'
        data = []
        continue
      }
      const colon = line.indexOf(':')
      const field = colon < 0 ? line : line.slice(0, colon)
      const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
      if (field === 'data') data.push(value)
      else if (field === 'id') id = value
      else if (field === 'event') type = value
    }
  }
}
