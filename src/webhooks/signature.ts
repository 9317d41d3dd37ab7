/** Signed by Standard Webhooks, as OpenAI signs its own: any of their libraries takes these. */
import { createHmac } from 'node:crypto'
import type { Ids } from '../core/ids.ts'

const PREFIX = 'whsec_'
const SECRET_BYTES = 32

export const newSecret = (ids: Pick<Ids, 'random'>): string =>
  PREFIX + Buffer.from(ids.random(SECRET_BYTES)).toString('base64')

/** `secrets`: each signs, so that a receiver may have the old one or the new one. `atSeconds`: of this try. */
export function signed(
  id: string,
  atSeconds: number,
  body: string,
  secrets: readonly string[],
): Readonly<Record<string, string>> {
  const signature = (secret: string): string =>
    createHmac('sha256', Buffer.from(secret.slice(PREFIX.length), 'base64'))
      .update(`${id}.${atSeconds}.${body}`)
      .digest('base64')
  return {
    'webhook-id': id,
    'webhook-timestamp': String(atSeconds),
    'webhook-signature': secrets.map((secret) => `v1,${signature(secret)}`).join(' '),
  }
}
