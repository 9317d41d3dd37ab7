/** What keeps a process from its RabbitMQ, and which setting to look at. Never names the password. */
import { SluiceError } from '../../core/errors.ts'

const URL_SETTING = 'intakes.rabbitmq.url (SLUICE_RABBITMQ_URL)'

export function whyAway(thrown: unknown, url: string): SluiceError {
  if (thrown instanceof SluiceError) return thrown
  const { code = '', message }: NodeJS.ErrnoException = thrown instanceof Error ? thrown : new Error(String(thrown))
  const at = `RabbitMQ at ${new URL(url).host}`
  const away = (text: string): SluiceError =>
    new SluiceError('intake_unavailable', { message: `${at} ${text}`, cause: thrown })
  if (code === 'ECONNREFUSED') return away(`refuses connections. Is it running? Its address: ${URL_SETTING}.`)
  if (/^(ENOTFOUND|EAI_AGAIN)$/.test(code)) return away(`is not found (${code}). See ${URL_SETTING}.`)
  if (/ACCESS[-_]REFUSED|403/i.test(message) || /Handshake terminated/i.test(message))
    return away(`does not accept the user, or its permissions do not suffice. See ${URL_SETTING}.`)
  if (/NOT_ALLOWED|530|ConnectionOpenOk|abruptly/.test(message))
    return away(`ends the connection: does it have that virtual host, and may the user use it? See ${URL_SETTING}.`)
  const what = /\b(queue|exchange) '([\w.-]{1,200})'/.exec(message)
  if (/PRECONDITION[-_]FAILED|406/.test(message))
    return away(
      `has ${what === null ? 'a queue or an exchange of that name' : `the ${what[1]} "${what[2]}"`}, ` +
        'declared otherwise, perhaps by another program: choose another intakes.rabbitmq.exchange, or delete it if ' +
        'nobody needs it.',
    )
  if (/NOT[-_]FOUND/.test(message) && what !== null) return away(`has no ${what[1]} "${what[2]}": it is made again.`)
  if (/CERT|SELF_SIGNED|ALTNAME|ERR_TLS/.test(code))
    return away(`has a certificate that is not trusted (${code}). NODE_EXTRA_CA_CERTS names a file with your own CA.`)
  if (/ETIMEDOUT|timed? ?out/i.test(code + message)) return away(`does not answer. Its address: ${URL_SETTING}.`)
  return away(`cannot be reached (${code === '' ? 'the connection was closed' : code}). Its address: ${URL_SETTING}.`)
}
