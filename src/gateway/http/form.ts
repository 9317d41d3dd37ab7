/** The form of a request. Node's parser refuses the worst; here is what it lets through and we do not. */
import type { IncomingMessage } from 'node:http'
import { SluiceError } from '../../core/errors.ts'

const MAX_TARGET_BYTES = 4_096
const MAX_HEADERS = 100
/** "." and ".." as segments, also escaped; empty ones; NUL, backslash: no route needs them, and proxies disagree. */
const ODD_PATH = /\/(?:\.|%2e){1,2}(?:\/|$)|\/\/|%00|\\|%5c/i

/** Throws uri_too_long, headers_too_large, expectation_failed, invalid_request. */
export function checkForm(request: IncomingMessage): void {
  const { url = '', rawHeaders, httpVersion } = request
  if (url.length > MAX_TARGET_BYTES) throw new SluiceError('uri_too_long')
  if (!url.startsWith('/')) throw new SluiceError('invalid_request', { message: 'The request target must be a path.' })
  const mark = url.indexOf('?')
  if (ODD_PATH.test(mark < 0 ? url : url.slice(0, mark)))
    throw new SluiceError('invalid_request', {
      message: 'The path has an empty segment, "." or "..": check whether the base URL ends in a slash.',
    })
  if (rawHeaders.length > 2 * MAX_HEADERS) throw new SluiceError('headers_too_large')
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i].length === 4 && rawHeaders[i].toLowerCase() === 'host') hosts++
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1'))
    throw new SluiceError('invalid_request', { message: 'The request must have exactly one host header.' })
  const { expect } = request.headers
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') throw new SluiceError('expectation_failed')
}

/** What node's parser, or its clock, refused. */
export function refusalOf(error: ParserError): SluiceError {
  const packet = lastRequest(error)
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new SluiceError(
        packet.split('\r\n', 1)[0].length > MAX_TARGET_BYTES && /^[A-Z]+ \//.test(packet)
          ? 'uri_too_long'
          : 'headers_too_large',
      )
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new SluiceError('body_too_large')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new SluiceError('request_timeout')
    case 'HPE_INVALID_METHOD':
      return new SluiceError(/^[A-Za-z-]+ \S+ HTTP\/1\.[01]\r/.test(packet) ? 'method_not_allowed' : 'invalid_request')
    default:
      return new SluiceError('invalid_request', { message: 'This is not valid HTTP/1.1.' })
  }
}

type ParserError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer; readonly bytesParsed?: number }

/** The packet from the request in which the parser stopped: there may be good ones before it. */
function lastRequest({ rawPacket, bytesParsed = 0, code }: ParserError): string {
  const packet = rawPacket?.toString('latin1') ?? ''
  if (code !== 'HPE_INVALID_METHOD') return packet
  let from = bytesParsed
  while (from > 0 && /[A-Za-z-]/.test(packet[from - 1])) from--
  return packet.slice(from)
}
