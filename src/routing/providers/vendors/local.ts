/** An Ollama on this machine: which models it has. */
import { systemClock } from '../../../core/clock.ts'

const MAX_BYTES = 1024 * 1024
const MAX_MODELS = 200
const PORT = 11_434

/**
 * OLLAMA_HOST, as Ollama reads it: "host", "host:port" or an address. Null: it can't be called so. One that listens
 * everywhere is called here.
 */
export function ollamaUrl(host: string | null): string | null {
  const text = host?.trim() || '127.0.0.1'
  const hasScheme = /^https?:\/\//i.test(text)
  const url = URL.parse(hasScheme ? text : `http://${text}`)
  if (url === null || url.username !== '' || url.protocol !== 'http:') return null
  if (url.port === '' && !hasScheme) url.port = String(PORT)
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1'
  if (url.hostname === '[::]') url.hostname = '[::1]'
  return url.origin
}

/** Names as Ollama has them. None where nobody answers within `withinMs`, or something else does. */
export function ollamaModels(url: string, withinMs: number): Promise<readonly string[]> {
  // Not by name: an import reads every export of a built-in module, undici among them
  const { get } = process.getBuiltinModule('node:http')
  return new Promise((resolve) => {
    const none = (): void => resolve([])
    const request = get(`${url}/api/tags`, { agent: false }, (response) => {
      const parts: Buffer[] = []
      let bytes = 0
      response.on('error', none)
      response.on('data', (part: Buffer) => {
        bytes += part.length
        if (bytes > MAX_BYTES) request.destroy(new Error('too long'))
        else parts.push(part)
      })
      response.on('end', () => resolve(response.statusCode === 200 ? namesIn(Buffer.concat(parts).toString()) : []))
    })
    const cancel = systemClock.after(withinMs, () => request.destroy(new Error('too late')))
    request.on('error', none)
    request.on('close', () => {
      cancel()
      none()
    })
  })
}

function namesIn(text: string): readonly string[] {
  try {
    const { models } = JSON.parse(text) as { readonly models?: unknown }
    if (!Array.isArray(models)) return []
    const names = models.slice(0, MAX_MODELS).map((model: unknown) => (model as { name?: unknown } | null)?.name)
    return names.filter((name): name is string => typeof name === 'string' && /^[\w.:/@+-]{1,200}$/.test(name))
  } catch {
    return []
  }
}

const LATEST = ':latest'

/** As models of the configuration; "llama3.2:latest" is called "llama3.2" too. */
export async function findOllama(
  variable: (name: string) => string | null,
  withinMs: number,
): Promise<ReadonlyArray<Readonly<Record<string, unknown>>>> {
  const url = ollamaUrl(variable('OLLAMA_HOST'))
  if (url === null) return []
  const found = await ollamaModels(url, withinMs)
  const short = found.filter((name) => name.endsWith(LATEST)).map((name) => name.slice(0, -LATEST.length))
  return [...found, ...short].map((name) => ({ name, base_url: `${url}/v1` }))
}
