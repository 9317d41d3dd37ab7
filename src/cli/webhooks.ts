/** `sluice webhooks`: through the public listener, with an API key. */
import { systemClock } from '../core/clock.ts'
import { CLIENT_OPTIONS, type Client, publicClient } from './client.ts'
import { type Args, EXIT, type Group, type Output, wholeNumber } from './command.ts'
import { onOne, printAll } from './on-one.ts'
import { ago, columns } from './table.ts'

export interface WebhookInfo {
  readonly id: string
  readonly url: string
  readonly name: string
  readonly events: readonly string[]
  readonly enabled: boolean
  readonly disabled_for?: string
}

export interface DeliveryInfo {
  readonly id: string
  readonly webhook: string
  readonly type: string
  readonly state: string
  readonly tries: number
  /** Of the receiver's last answer; null: none. */
  readonly status: number | null
  readonly error: string | null
  /** Seconds since 1970. */
  readonly created_at: number
  readonly next_try_at: number | null
}

const MAX_LIST = 200

export const command: Group = {
  about: "Webhooks of the API key's tenant, and what they were told.",
  commands: {
    list: {
      usage: 'webhooks list',
      about: 'Lists webhooks.',
      options: CLIENT_OPTIONS,
      takesSettings: [],
      run: (args, out) => list(publicClient(args), args, out),
    },
    deliveries: onOne('webhooks', 'webhook id')(
      'deliveries',
      'Lists what a webhook was to be told, the newest events first.',
      deliveries,
      {
        limit: { value: 'N', help: 'at most this many (default: 50, at most 200)' },
        after: { value: 'ID', help: 'only events older than this one' },
      },
      'deliveries ID [--limit N] [--after ID]',
    ),
    redeliver: onOne('webhooks', 'event id', 'webhooks deliveries ID')(
      'redeliver',
      'Sends an event again, with the same id: to one webhook, or to all that it was for.',
      redeliver,
      { webhook: { value: 'ID', help: 'only to this one' } },
      'redeliver EVENT [--webhook ID]',
    ),
  },
}

async function list(client: Client, args: Args, out: Output): Promise<number> {
  const { data } = (await (await client.call('GET', '/v1/webhooks')).json()) as { data: WebhookInfo[] }
  return printAll(data, args, out, webhookTable)
}

export function webhookTable(webhooks: readonly WebhookInfo[]): string[] {
  const rows = webhooks.map(({ id, name, enabled, disabled_for: why, events, url }) => [
    id,
    name === '' ? '-' : name,
    enabled ? 'enabled' : why === undefined ? 'disabled' : `disabled (${why})`,
    url,
    events.join(', '),
  ])
  return columns([['ID', 'NAME', 'STATE', 'URL', 'EVENTS'], ...rows])
}

async function deliveries(client: Client, id: string, args: Args, out: Output): Promise<number> {
  const query = new URLSearchParams()
  query.set('limit', String(wholeNumber(args.option('limit') ?? '50', 'limit', MAX_LIST)))
  if (args.has('after')) query.set('after', args.option('after')!)
  const answer = await (await client.call('GET', `/v1/webhooks/${id}/deliveries?${query}`)).json()
  const {
    data,
    has_more: hasMore,
    last_id: last,
  } = answer as {
    data: DeliveryInfo[]
    has_more: boolean
    last_id: string | null
  }
  printAll(data, args, out, (all) => deliveryTable(all, systemClock.wallMs()))
  if (hasMore) out.note(`There may be older ones: --after ${last}`)
  return EXIT.ok
}

export function deliveryTable(all: readonly DeliveryInfo[], nowMs: number): string[] {
  const rows = all.map((one) => [
    one.id,
    one.webhook,
    one.type,
    one.state,
    ago(Math.max(0, nowMs - one.created_at * 1000)),
    String(one.tries),
    one.error ?? (one.status === null ? '' : `HTTP ${one.status}`),
  ])
  return columns([['EVENT', 'WEBHOOK', 'TYPE', 'STATE', 'CREATED', 'TRIES', 'LAST ANSWER'], ...rows])
}

async function redeliver(client: Client, id: string, args: Args, out: Output): Promise<number> {
  const webhook = args.option('webhook')
  const body = webhook === undefined ? {} : { webhook }
  const answer = await client.call('POST', `/v1/webhooks/deliveries/${id}/redeliver`, { body })
  const { data } = (await answer.json()) as { data: DeliveryInfo[] }
  return printAll(data, args, out, (all) => deliveryTable(all, systemClock.wallMs()))
}
