/** What the environment tells OpenTelemetry's own SDKs: taken over where the settings name no collector. */
import { bareText } from '../settings/fields.ts'

export const OTEL_ENDPOINT = 'OTEL_EXPORTER_OTLP_ENDPOINT'
export const OTEL_HEADERS = 'OTEL_EXPORTER_OTLP_HEADERS'
const PROTOCOL = 'OTEL_EXPORTER_OTLP_PROTOCOL'

export interface OtelEnvironment {
  /** Null: none. */
  readonly endpoint: string | null
  readonly hasHeaders: boolean
  /** Why the endpoint there is left out. */
  readonly note: string | null
}

/** Headers are meant for that endpoint, and go to no other. */
export function otelEnvironment(env: Readonly<Record<string, string | undefined>>): OtelEnvironment {
  const of = (name: string): string => bareText(env[name] ?? '')
  const endpoint = of(OTEL_ENDPOINT)
  if (endpoint === '' || of('OTEL_SDK_DISABLED').toLowerCase() === 'true') return NONE
  if (of(PROTOCOL) === 'grpc')
    return {
      ...NONE,
      note:
        `${OTEL_ENDPOINT} is not used, as ${PROTOCOL} is grpc: set telemetry.otlp.endpoint to the collector's ` +
        'HTTP port.',
    }
  return { endpoint, hasHeaders: of(OTEL_HEADERS) !== '', note: null }
}

const NONE: OtelEnvironment = { endpoint: null, hasHeaders: false, note: null }
