/** The Kafka client: loaded when it is used, and how it reaches the brokers. */
import { isIP } from 'node:net'
import type { BaseOptions } from '@platformatic/kafka'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'

export type Kafka = typeof import('@platformatic/kafka')

/** Where the brokers are, secrets revealed. */
export interface KafkaAddress {
  /** "host:port", some of the cluster's: the others are learnt from them. */
  readonly brokers: readonly string[]
  /** Null: not encrypted. */
  readonly tls: KafkaTls | null
  readonly sasl: KafkaSasl | null
}

/** PEM texts. */
export interface KafkaTls {
  /** Null: the authorities that Node trusts. */
  readonly ca: string | null
  /** Ours, where brokers ask for one. */
  readonly cert: string | null
  readonly key: string | null
}

export interface KafkaSasl {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
  readonly username: string
  readonly password: string
}

export const KAFKA_PACKAGE = '@platformatic/kafka'
export const KAFKA_VERSION = '2.12.1'

const PORT = /:\d+$/
const CONNECT_MS = 4_000
/** Of one request, and so of one try. */
export const REQUEST_MS = 8_000
const RETRY_MS = 150

/** Throws config_invalid, which says what to install. */
export async function loadKafka(): Promise<Kafka> {
  try {
    return await import('@platformatic/kafka')
  } catch (cause) {
    const why =
      (cause as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' ? 'is not installed' : "can't be loaded"
    throw new SluiceError('config_invalid', {
      message: `Kafka needs the package ${KAFKA_PACKAGE}, which ${why}: npm install ${KAFKA_PACKAGE}@${KAFKA_VERSION}`,
      cause,
    })
  }
}

/** Of each client. It tries again by itself only what a stale picture of the cluster explains: the rest is ours. */
export function clientOptions({ brokers, tls, sasl }: KafkaAddress): BaseOptions {
  return {
    clientId: 'sluice',
    bootstrapBrokers: [...brokers],
    connectTimeout: CONNECT_MS,
    timeout: REQUEST_MS,
    requestTimeout: REQUEST_MS,
    retries: 2,
    retryDelay: RETRY_MS,
    ...(tls !== null && {
      tls: {
        ...(tls.ca !== null && { ca: tls.ca }),
        ...(tls.cert !== null && { cert: tls.cert }),
        ...(tls.key !== null && { key: tls.key }),
      },
      // An address is no name
      tlsServerName: brokers.some((broker) => isIP(broker.replace(PORT, '').replace(/^\[|\]$/g, '')) === 0),
    }),
    ...(sasl !== null && { sasl }),
  }
}

/** What is at the bottom of an error of the client, as one line: the broker's name for it, or the system's. */
export function reasonOf(error: unknown): string {
  const { errors = [], cause, apiId, code, message } = Object(error) as Layer
  const below = errors.at(-1) ?? cause
  if (below !== undefined && below !== null && below !== error) return reasonOf(below)
  const name = apiId ?? (code?.startsWith(CLIENT_CODE) === false ? code : null)
  return (name ?? message ?? 'unknown').slice(0, MAX_REASON)
}

interface Layer {
  readonly errors?: readonly unknown[]
  readonly cause?: unknown
  readonly apiId?: string
  readonly code?: string
  readonly message?: string
}

/** Says less than its message does. */
const CLIENT_CODE = 'PLT_'
const MAX_REASON = 200

/** Is there an error with this `member` in what the client threw, at any depth? */
export function hasError(error: unknown, member: string, value: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  const { cause, errors = [] } = error as { cause?: unknown; errors?: readonly unknown[] }
  if ((error as Record<string, unknown>)[member] === value) return true
  return hasError(cause, member, value) || errors.some((each) => hasError(each, member, value))
}

/** As the promise, which is the client's: it might never settle. */
export async function inTime<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T> {
  let cancel = (): void => {}
  try {
    const late = new Promise<never>((_, fail) => {
      cancel = clock.after(ms, () => fail(new Error(`the Kafka client did not answer within ${ms} ms`)))
    })
    return await Promise.race([promise, late])
  } finally {
    cancel()
    // Its own rejection may come after that
    promise.catch(() => {})
  }
}
