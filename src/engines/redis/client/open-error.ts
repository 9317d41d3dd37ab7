/** What keeps a process from its Redis at the start, and which setting to look at. Never names the password. */
import { SluiceError } from '../../../core/errors.ts'
import type { RedisAddress } from './connection.ts'
import { storageError, unavailable } from './errors.ts'

const URL_SETTING = 'engine.redis.url (SLUICE_REDIS_URL)'

/** With config_invalid starting again would not help; with storage_unavailable it may. */
export function openError(thrown: unknown, { url, nodes = [] }: RedisAddress): SluiceError {
  if (thrown instanceof SluiceError) return thrown
  const { code = '', message }: NodeJS.ErrnoException = thrown instanceof Error ? thrown : new Error(String(thrown))
  const at = `Redis at ${[new URL(url).host, ...nodes].join(', ')}`
  const wrong = (text: string): SluiceError => new SluiceError('config_invalid', { message: text, cause: thrown })
  const away = (text: string): SluiceError => unavailable(text, thrown)

  if (code === 'ECONNREFUSED') return away(`${at} refuses connections. Is it running? Its address: ${URL_SETTING}.`)
  if (/^(ENOTFOUND|EAI_AGAIN)$/.test(code)) return away(`${at}: this host is not found (${code}). See ${URL_SETTING}.`)
  if (/^(ETIMEDOUT|EHOSTUNREACH|ENETUNREACH)$/.test(code) || /timed out/i.test(message))
    return away(
      url.startsWith('rediss:')
        ? `${at} does not answer. If it does not speak TLS, write redis:// instead of rediss:// in ${URL_SETTING}.`
        : `${at} does not answer. Is a firewall in between? Its address: ${URL_SETTING}.`,
    )
  if (/^(EPROTO|ERR_SSL_)/.test(code) || /wrong version number|packet length too long/.test(message))
    return wrong(`${at} does not speak TLS: write redis:// instead of rediss:// in ${URL_SETTING}.`)
  if (/CERT|SIGNATURE|SELF_SIGNED|ALTNAME/.test(code))
    return wrong(`${at}: its certificate is not trusted (${code}). NODE_EXTRA_CA_CERTS names a file with your own CA.`)
  if (/^NOAUTH/.test(message))
    return wrong(`${at} wants a password: put it into ${URL_SETTING}, redis://:PASSWORD@HOST, by reference.`)
  if (/^WRONGPASS|invalid password|invalid username/i.test(message))
    return wrong(`${at} does not accept the user and password in ${URL_SETTING}.`)
  if (/^NOPERM/.test(message))
    return wrong(`${at}: the user in ${URL_SETTING} may not do what Sluice needs: "${message}".`)
  if (/DB index/i.test(message)) return wrong(`${at} has no database with the number at the end of ${URL_SETTING}.`)
  if (/SELECT is not allowed/i.test(message))
    return wrong(
      `${at} is a cluster, which has only the database 0: leave out the number at the end of ${URL_SETTING}.`,
    )
  if (/cluster support disabled/i.test(message))
    return wrong(`${at} is no cluster: leave out engine.redis.nodes (SLUICE_REDIS_NODES).`)
  if (code === 'ECONNRESET' || /Connection is closed|closed unexpectedly/.test(message))
    return away(`${at} closes the connection. Does it want TLS? Then write rediss:// in ${URL_SETTING}.`)
  return storageError(thrown)
}
