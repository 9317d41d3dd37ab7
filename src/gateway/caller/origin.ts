/**
 * Origins, compared. Browsers, operators and proxies spell the same one in several ways: capitals, a default port, a
 * dot or a slash at the end, IPv6 in its long form. RFC 6454, section 6.
 */

/** Longer ones are none. */
const MAX_CHARS = 512

export const isOrigin = (text: string): boolean => parse(text) !== null

/** Scheme, host and port in one spelling. What is no origin, such as "null" or "*", stays as it is. */
export function normalOrigin(text: string): string {
  const url = parse(text)
  return url === null ? text : `${url.protocol}//${hostOf(url)}${url.port === '' ? '' : `:${url.port}`}`
}

/**
 * Does a page of `origin` call the host that it came from? `host`: the request's host header. Behind a proxy that ends
 * TLS the scheme is not ours to know, so the default port of either scheme counts as none.
 */
export function isOwnOrigin(origin: string, host: string | undefined): boolean {
  const page = parse(origin)
  const called = page === null || host === undefined ? null : parse(`${page.protocol}//${host}`)
  if (page === null || called === null || hostOf(page) !== hostOf(called)) return false
  return page.port === called.port || (page.port === '' && (called.port === '80' || called.port === '443'))
}

/** Is it allowed by a list of normal origins? */
export const isListed = (origin: string, list: ReadonlySet<string>): boolean =>
  list.has('*') || list.has(normalOrigin(origin))

export const normalOrigins = (list: readonly string[]): ReadonlySet<string> => new Set(list.map(normalOrigin))

function parse(text: string): URL | null {
  if (text.length > MAX_CHARS || !/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]+\/?$/i.test(text)) return null
  return URL.parse(text)
}

/** A name may end in a dot, for the root of all names. */
const hostOf = ({ hostname }: URL): string => hostname.toLowerCase().replace(/\.$/, '')
