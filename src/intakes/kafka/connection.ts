/** The Kafka client: loaded when it is used, and how it reaches the brokers. */
import { isIP } from 'node:net'
import type { BaseOptions } from '@platformatic/kafka'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import { boundInflating } from './inflate.ts'

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
    const kafka = await import('@platformatic/kafka')
    boundInflating(kafka)
    return kafka
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

/** What keeps a process from its Kafka, and which setting to look at. Never names the password. */
export function whyAway(error: unknown, { brokers, tls, sasl }: KafkaAddress): string {
  const reason = reasonOf(error)
  const at = `Kafka at ${brokers.join(', ')}`
  if (/^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/.test(reason))
    return (
      `${at} can't be reached (${reason}). Is it running (intakes.kafka.brokers)? If it is, its brokers name each ` +
      "other by addresses that can't be reached from here: see their advertised.listeners."
    )
  if (/^(ENOTFOUND|EAI_AGAIN)$/.test(reason))
    return `${at}: a name is not found (${reason}). See intakes.kafka.brokers, and the brokers' advertised.listeners.`
  if (/CERT|SELF_SIGNED|ALTNAME|ERR_TLS|UNABLE_TO/.test(reason))
    return `${at} has a certificate that is not trusted (${reason}). See intakes.kafka.ca_file.`
  if (/SASL_AUTHENTICATION_FAILED|Authentication failed/i.test(reason))
    return `${at} does not accept the user (${reason}). See intakes.kafka.username, password and sasl_mechanism.`
  if (reason === 'ILLEGAL_SASL_STATE')
    return `${at} asks for no user at that port (${reason}). Leave out intakes.kafka.username, or give another port.`
  if (/SASL/.test(reason))
    return sasl === null
      ? `${at} asks for a user (${reason}). See intakes.kafka.username.`
      : `${at} takes no user by ${sasl.mechanism} there (${reason}). See intakes.kafka.sasl_mechanism and username.`
  if (/AUTHORIZATION_FAILED/.test(reason))
    return `${at}: the user may not do that (${reason}). docs/engines.md lists what it needs.`
  if (/ECONNRESET|EPIPE|Connection closed|socket hang up/i.test(reason))
    return (
      `${at} ends the connection (${reason}). Is it Kafka's port (intakes.kafka.brokers), is it encrypted as ` +
      `intakes.kafka.tls says (${tls !== null})${sasl === null ? ', and does it ask for a user' : ''}?`
    )
  if (/requires TLS/.test(reason)) return `${at} asks for TLS. See intakes.kafka.tls.`
  if (/timed ?out|did not answer/i.test(reason))
    return `${at} does not answer (${reason}). See intakes.kafka.brokers, and the brokers' advertised.listeners.`
  return `${at} cannot be used now: ${reason}`
}
