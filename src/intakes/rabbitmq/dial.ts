/** How a connection is made. `amqplib` is loaded where it is configured. */
import type { SocketOptions } from 'amqplib'
import { SluiceError } from '../../core/errors.ts'
import type { Dial } from './link.ts'

export interface DialOptions {
  /** amqp://user:password@host:port/vhost, or amqps:// for TLS. */
  readonly url: string
  /** Seconds of silence after which either side asks; twice that is the end. */
  readonly heartbeatMs: number
}

const CONNECT_TIMEOUT_MS = 5_000

/** Rejects with config_invalid where the package is not installed. */
export async function dialer({ url, heartbeatMs }: DialOptions): Promise<(what: string) => Dial> {
  const { connect } = await import('amqplib').catch((cause: unknown) => {
    throw new SluiceError('config_invalid', {
      message: 'An intake of RabbitMQ needs the package "amqplib": npm install amqplib',
      cause,
    })
  })
  const address = new URL(url)
  address.searchParams.set('heartbeat', String(Math.max(1, Math.round(heartbeatMs / 1_000))))
  return (what) => () => {
    const socket = {
      noDelay: true,
      timeout: CONNECT_TIMEOUT_MS,
      clientProperties: { connection_name: `sluice ${what}` },
    } as SocketOptions
    return connect(address.href, socket)
  }
}
