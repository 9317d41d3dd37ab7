/** Settings of `telemetry.otlp`. */
import { z } from 'zod'
import { duration, filePath, flag, httpUrl, secret, share } from '../../settings/fields.ts'
import { headers } from '../../settings/headers.ts'

export type NameSet = 'otel-1.41' | 'otel-genai-next'

export const otlpSettings = z
  .strictObject({
    endpoint: httpUrl()
      .nullable()
      .prefault(null)
      .describe(
        'Where spans and metrics go, e.g. `http://localhost:4318`: OTLP over HTTP, as protobuf; `/v1/traces` and ' +
          '`/v1/metrics` are added. Null: nowhere. Not set: `OTEL_EXPORTER_OTLP_ENDPOINT`, with the headers of ' +
          '`OTEL_EXPORTER_OTLP_HEADERS`.',
      ),
    headers: headers()
      .prefault({})
      .describe('Headers of each request to it. Anything that looks like a credential must be a reference.'),
    header_list: secret()
      .nullable()
      .prefault(null)
      .describe('More headers, in one secret: `name=value,name=value`, values percent-encoded.'),
    ca_file: filePath().nullable().prefault(null).describe('Additional CA certificates to trust there (PEM).'),
    traces: flag().prefault(true).describe('Whether spans are sent.'),
    metrics: flag().prefault(true).describe('Whether metrics are sent: those of `GET /metrics`.'),
    names: z
      .enum(['otel-1.41', 'otel-genai-next'])
      .prefault('otel-1.41')
      .describe("OpenTelemetry's names for generative AI: of version 1.41, or of the repository that follows it."),
    interval: duration({ min: 100, max: 3_600_000 }).prefault('10s').describe('How often both are sent.'),
    sample: share()
      .prefault('100%')
      .describe('The share of requests without a `traceparent` that are traced; others as their callers decided.'),
  })
  .prefault({})
  .describe('Export to an OpenTelemetry collector, or to what speaks its protocol.')
