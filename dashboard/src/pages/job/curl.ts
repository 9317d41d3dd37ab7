/** The request of a job, as a command for a shell. */
import type { RequestText } from '../../../../src/core/live.ts'

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

export function curlOf({ endpoint, request }: Pick<RequestText, 'endpoint' | 'request'>, url: string | null): string {
  const base = (url ?? 'http://127.0.0.1:4100').replace(/\/$/, '')
  return [
    `curl -N ${quoted(`${base}${endpoint}`)}`,
    `-H "authorization: Bearer $SLUICE_API_KEY"`,
    `-H 'content-type: application/json'`,
    `-d ${quoted(request)}`,
  ].join(' \\\n  ')
}
