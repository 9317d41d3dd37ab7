/**
 * A collector for tests, which trusts nothing: what comes is decoded by protobufjs with the published .proto files, and
 * has to be the same when it is encoded again (no unknown field, no default that was written).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import protobuf from 'protobufjs'

const PROTO = join(import.meta.dirname, 'proto')

function load(): protobuf.Root {
  const root = new protobuf.Root()
  root.resolvePath = (_from, target) => (target.startsWith(PROTO) ? target : join(PROTO, target))
  return root.loadSync(
    ['trace', 'metrics'].map((kind) => join(PROTO, `opentelemetry/proto/collector/${kind}/v1/${kind}_service.proto`)),
    { keepCase: true },
  )
}

const root = load()
const REQUESTS = {
  '/v1/traces': root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest'),
  '/v1/metrics': root.lookupType('opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest'),
}
export const TraceResponse = root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse')

export type Value = string | number | boolean | readonly string[]
export type Attributes = Readonly<Record<string, Value>>

export interface ReceivedSpan {
  readonly traceId: string
  readonly id: string
  /** '': none. */
  readonly parent: string
  readonly name: string
  readonly kind: string
  readonly startMs: number
  readonly endMs: number
  readonly attributes: Attributes
  readonly events: ReadonlyArray<{ readonly name: string; readonly atMs: number }>
  readonly isError: boolean
  readonly flags: number
  readonly resource: Attributes
}

export interface ReceivedPoint {
  readonly name: string
  readonly unit: string
  readonly kind: 'gauge' | 'sum' | 'histogram'
  readonly attributes: Attributes
  readonly resource: Attributes
  readonly startMs: number
  readonly atMs: number
  readonly value: number
  /** Of a histogram. */
  readonly count: number
  readonly buckets: readonly number[]
  readonly bounds: readonly number[]
}

type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void

export interface Receiver {
  readonly url: string
  readonly spans: ReceivedSpan[]
  readonly points: ReceivedPoint[]
  /** All bytes that came, headers included. */
  readonly bytes: Buffer[]
  readonly headers: Array<IncomingMessage['headers']>
  /** What is wrong with what came. */
  readonly faults: string[]
  /** How requests are answered from now on; null: they are taken. */
  answer: Answer | null
  close(): Promise<void>
}

/** `tls`: key and certificate. `port`: 0 = any. */
export async function startReceiver(
  tls: { readonly key: string; readonly cert: string } | null = null,
  port = 0,
): Promise<Receiver> {
  const receiver: Omit<Receiver, 'close' | 'url'> = {
    spans: [],
    points: [],
    bytes: [],
    headers: [],
    faults: [],
    answer: null,
  }
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('error', () => {})
    request.on('end', () => {
      const body = Buffer.concat(parts)
      receiver.bytes.push(Buffer.from(JSON.stringify(request.headers)), body)
      receiver.headers.push(request.headers)
      if (receiver.answer !== null) return receiver.answer(request, response, body)
      take(receiver, request, body)
      response.writeHead(200, { 'content-type': 'application/x-protobuf' })
      response.end()
    })
  }
  const server: Server = tls === null ? createServer(listener) : createTlsServer(tls, listener)
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done))
  const address = server.address() as AddressInfo
  return Object.assign(receiver, {
    url: `${tls === null ? 'http' : 'https'}://127.0.0.1:${address.port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  })
}

export function take(receiver: Omit<Receiver, 'close' | 'url'>, request: IncomingMessage, body: Buffer): void {
  const { url = '', method, headers } = request
  const type = REQUESTS[url as keyof typeof REQUESTS]
  if (type === undefined || method !== 'POST') return void receiver.faults.push(`${method} ${url}`)
  if (headers['content-type'] !== 'application/x-protobuf') receiver.faults.push(`type ${headers['content-type']}`)
  try {
    const message = type.decode(body)
    const again = Buffer.from(type.encode(message).finish())
    const plainOf = (each: protobuf.Message): any =>
      type.toObject(each, { longs: Number, enums: String, bytes: Buffer, arrays: true })
    const plain = plainOf(message)
    // The order of fields is free
    if (again.length !== body.length || !isDeepStrictEqual(plain, plainOf(type.decode(again))))
      receiver.faults.push(`${url}: ${body.length} bytes, encoded again ${again.length}`)
    if (url === '/v1/traces') receiver.spans.push(...spansOf(plain))
    else receiver.points.push(...pointsOf(plain))
  } catch (thrown) {
    receiver.faults.push(`${url}: ${thrown}`)
  }
}

function attributesOf(list: readonly any[] = []): Attributes {
  const of = (value: any): any =>
    value.array_value === undefined ? Object.values(value)[0] : value.array_value.values.map(of)
  const names = list.map(({ key }) => key as string)
  const twice = names.find((name, i) => names.indexOf(name) < i)
  if (twice !== undefined) throw new Error(`the attribute ${twice} is there twice`)
  return Object.fromEntries(list.map(({ key, value }) => [key, of(value)]))
}

const spansOf = ({ resource_spans: all }: any): ReceivedSpan[] =>
  all.flatMap(({ resource, scope_spans: scopes }: any) =>
    scopes.flatMap(({ spans }: any) =>
      spans.map((span: any) => ({
        traceId: span.trace_id.toString('hex'),
        id: span.span_id.toString('hex'),
        parent: span.parent_span_id?.toString('hex') ?? '',
        name: span.name,
        kind: span.kind.replace('SPAN_KIND_', ''),
        startMs: span.start_time_unix_nano / 1e6,
        endMs: span.end_time_unix_nano / 1e6,
        attributes: attributesOf(span.attributes),
        events: span.events.map((event: any) => ({ name: event.name, atMs: event.time_unix_nano / 1e6 })),
        isError: span.status?.code === 'STATUS_CODE_ERROR',
        flags: span.flags,
        resource: attributesOf(resource.attributes),
      })),
    ),
  )

const pointsOf = ({ resource_metrics: all }: any): ReceivedPoint[] =>
  all.flatMap(({ resource, scope_metrics: scopes }: any) =>
    scopes.flatMap(({ metrics }: any) =>
      metrics.flatMap(({ name, unit = '', gauge, sum, histogram }: any) => {
        const data = gauge ?? sum ?? histogram
        for (const { aggregation_temporality: temporality } of [sum, histogram].filter(Boolean))
          if (temporality !== 'AGGREGATION_TEMPORALITY_CUMULATIVE') throw new Error(`${name} is ${temporality}`)
        if (sum !== undefined && sum.is_monotonic !== true) throw new Error(`${name} may fall`)
        return data.data_points.map((point: any) => ({
          name,
          unit,
          kind: gauge ? 'gauge' : sum ? 'sum' : 'histogram',
          attributes: attributesOf(point.attributes),
          resource: attributesOf(resource.attributes),
          startMs: (point.start_time_unix_nano ?? 0) / 1e6,
          atMs: point.time_unix_nano / 1e6,
          value: point.as_double ?? point.sum ?? 0,
          count: point.count ?? 0,
          buckets: point.bucket_counts ?? [],
          bounds: point.explicit_bounds ?? [],
        }))
      }),
    ),
  )
