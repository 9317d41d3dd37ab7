/**
 * Where a webhook may go. Addresses come from tenants, so none may reach what is inside: the host of the URL where it
 * is an address, and each address that a name resolves to, must be one of the public internet. WHATWG's URL has folded
 * all spellings of an IPv4 address by then.
 */
import { BlockList, isIP } from 'node:net'
import { bad } from '../core/fields.ts'

export const MAX_URL_CHARS = 2_048

/** What is not globally reachable by IANA's special-purpose registry, and what only looks public. */
const V4: ReadonlyArray<readonly [string, number]> = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  // Azure: metadata, to each machine of its own
  ['168.63.129.16', 32],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
]
/** Of IPv6 only this is unicast on the internet: no mapped IPv4, no NAT64, no unique-local, link-local, multicast. */
const GLOBAL_V6 = ['2000::', 3] as const
/** In it: tunnels that carry an IPv4 address, protocols, examples. */
const V6: ReadonlyArray<readonly [string, number]> = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
]

const inside = new BlockList()
for (const [address, bits] of V4) inside.addSubnet(address, bits, 'ipv4')
for (const [address, bits] of V6) inside.addSubnet(address, bits, 'ipv6')
const outside = new BlockList()
outside.addSubnet(...GLOBAL_V6, 'ipv6')

/** Is it an address of the public internet? */
export function isPublic(address: string): boolean {
  const version = isIP(address)
  if (version === 4) return !inside.check(address, 'ipv4')
  return version === 6 && outside.check(address, 'ipv6') && !inside.check(address, 'ipv6')
}

/** A host of the settings, which may be inside, and be called by http and at any port. */
export interface Allowed {
  /** As of a URL: lower case, an IPv6 address in brackets. */
  readonly host: string
  /** Null: any. */
  readonly port: number | null
}

/** "hooks.internal", "10.0.0.7:8080", "[fd00::1]". Null: it is none. */
export function readAllowed(text: string): Allowed | null {
  if (text.includes('/') || text.includes('@')) return null
  const parsed = URL.parse(`http://${text}/`)
  if (parsed === null || parsed.hostname === '') return null
  const port = /:(\d+)$/.exec(text)?.[1]
  return { host: plainHost(parsed), port: port === undefined ? null : Number(port) }
}

export interface Target {
  readonly url: URL
  readonly port: number
  /** The operator has named it: it may be inside. */
  readonly isAllowed: boolean
}

/** Throws invalid_request, and says what to do. */
export function readTarget(text: unknown, allowed: readonly Allowed[]): Target {
  if (typeof text !== 'string' || text.length > MAX_URL_CHARS)
    throw bad('url', `"url" must be a URL of at most ${MAX_URL_CHARS} characters.`)
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw bad('url', '"url" must begin with https://.')
  if (url.username !== '' || url.password !== '') throw bad('url', '"url" must have no user or password in it.')
  if (url.hash !== '') throw bad('url', '"url" must have no fragment ("#…"): it would not be sent.')
  const isTls = url.protocol === 'https:'
  const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port)
  const host = plainHost(url)
  const isAllowed = allowed.some((one) => one.host === host && (one.port === null || one.port === port))
  if (isAllowed) return { url, port, isAllowed }
  if (!isTls) throw bad('url', '"url" must begin with https:// (http is for hosts of the setting webhooks.allow).')
  if (port !== 443)
    throw bad('url', '"url" must be of port 443 (other ports are for hosts of the setting webhooks.allow).')
  if (isLocalName(host) || (isIP(bare(host)) !== 0 && !isPublic(bare(host))))
    throw bad('url', '"url" must be on the public internet (others are for the setting webhooks.allow).')
  return { url, port, isAllowed }
}

/** Names that no public server answers for. */
const isLocalName = (host: string): boolean =>
  isIP(bare(host)) === 0 && (!host.includes('.') || /\.(?:localhost|local|internal|home\.arpa)$/.test(host))

/** A dot at the end of a name changes nothing. */
const plainHost = ({ hostname }: URL): string => hostname.toLowerCase().replace(/\.+$/, '')

/** Without the brackets of IPv6. */
export const bare = (host: string): string => (host.startsWith('[') ? host.slice(1, -1) : host)
