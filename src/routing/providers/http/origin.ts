/** A provider's address, and the proxy to it: URLs of the configuration, checked once. */
import { SluiceError } from '../../../core/errors.ts'

export interface Origin {
  readonly secure: boolean
  /** For connecting and SNI: IPv6 without brackets. */
  readonly host: string
  readonly port: number
  /** The `host` header. */
  readonly authority: string
  /** Begins with "/" unless empty; does not end with one. */
  readonly basePath: string
  /** Empty, or begins with "?": Azure's api-version. */
  readonly query: string
}

export interface OutboundProxy {
  readonly secure: boolean
  readonly host: string
  readonly port: number
  /** `proxy-authorization`, from the URL's userinfo. */
  readonly authorization: string | null
}

const invalid = (message: string): SluiceError => new SluiceError('config_invalid', { message })

/** The message never repeats the URL: it may hold a secret. */
function parseUrl(text: string, what: string): URL {
  const url = /\s/.test(text) ? null : URL.parse(text)
  if (url === null) throw invalid(`${what} is not a URL.`)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw invalid(`${what} must begin with http:// or https://.`)
  return url
}

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '')
const portOf = (url: URL): number => (url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port))

/**
 * "https://api.openai.com/v1", with or without the trailing slash; no path means "/v1". Throws config_invalid:
 * userinfo and fragments are refused, as is everything but http and https.
 */
export function parseBaseUrl(text: string): Origin {
  const url = parseUrl(text, 'The base URL')
  if (url.username !== '' || url.password !== '')
    throw invalid('The base URL may not hold a user or password; use api_key.')
  if (url.hash !== '' || text.includes('#')) throw invalid('The base URL may not hold a fragment.')
  const path = url.pathname.replace(/\/+$/, '').replace(/\/chat\/completions$/, '')
  return {
    secure: url.protocol === 'https:',
    host: hostOf(url),
    port: portOf(url),
    authority: url.host,
    basePath: path === '' ? '/v1' : path,
    query: url.search,
  }
}

/** The request target of a route below the base URL. */
export const targetOf = (origin: Origin, route: string): string => `${origin.basePath}${route}${origin.query}`

export function parseProxy(text: string): OutboundProxy {
  const url = parseUrl(text, 'The proxy')
  const user = url.username === '' ? null : `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  return {
    secure: url.protocol === 'https:',
    host: hostOf(url),
    port: portOf(url),
    authorization: user === null ? null : `Basic ${Buffer.from(user, 'utf8').toString('base64')}`,
  }
}

/** no_proxy as curl reads it: "*", "host", "host:port", ".domain" or "domain" with all below it. */
export function bypassesProxy(origin: Origin, noProxy: readonly string[]): boolean {
  const host = origin.host.toLowerCase()
  return noProxy.some((entry) => {
    const [, name = '', port] = /^(.*?)(?::(\d+))?$/.exec(entry.trim().toLowerCase()) ?? []
    if (
      entry
        .trim()
        .toLowerCase()
        .replace(/^\[|\]$/g, '') === host
    )
      return true
    if (port !== undefined && Number(port) !== origin.port) return false
    const domain = name.replace(/^\*?\./, '')
    return name === '*' || (domain !== '' && (host === domain || host.endsWith(`.${domain}`)))
  })
}
