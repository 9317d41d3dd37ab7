/**
 * Numbers as OTLP: cumulative since the start of the process, so that one that is lost costs nothing. Written in
 * slices, with a turn of the event loop between two of them.
 */
import type { Labels } from '../../core/numbers.ts'
import { boundsOf, isExposed } from '../prometheus/names.ts'
import type { Reading } from '../registry.ts'
import { countAttribute, ITEM, textAttribute } from './envelope.ts'
import { type Names, ownName, providerName } from './names.ts'
import { ProtoWriter } from './protobuf.ts'
import type { CalledAtOf } from './spans.ts'

/** Bytes after which the event loop gets its turn, and those that one request has at most, but for its last metric. */
const SLICE = 16 * 1024
const MAX_REQUEST_BYTES = 1024 * 1024
const NS_PER_MS = 1e6
const CUMULATIVE = 2

export interface Times {
  readonly startMs: number
  readonly nowMs: number
}

/** How a number is told. */
interface Told {
  readonly name: string
  readonly unit: string
  readonly help: string
  readonly scale: number
  readonly isGenAi: boolean
}

/** What the collector gets, each as the items of one request. */
export async function* metricsOf(
  readings: readonly Reading[],
  names: Names,
  calledAt: CalledAtOf,
  { startMs, nowMs }: Times,
  turn: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  const w = new ProtoWriter()
  let sliced = 0
  for (const [name, series] of Map.groupBy(readings.filter(isExposed), ({ name }) => name)) {
    const [{ kind, help }] = series
    const told = toldAs(names, name, help)
    if (told === null) continue
    const metric = w.begin(ITEM)
    w.text(1, told.name)
    w.text(2, `${told.help}.`)
    if (told.unit !== '') w.text(3, told.unit)
    const data = w.begin(kind === 'gauge' ? 5 : kind === 'counter' ? 7 : 9)
    for (const reading of series) {
      // Processes of different versions may disagree on a number's kind: then the first one counts
      if (reading.kind !== kind) continue
      if (reading.kind === 'histogram') histogramPoint(reading)
      else valuePoint(reading)
      if (w.length - sliced < SLICE) continue
      sliced = w.length
      await turn()
    }
    if (kind === 'counter') {
      w.uint(2, CUMULATIVE)
      w.uint(3, 1)
    } else if (kind === 'histogram') w.uint(2, CUMULATIVE)
    w.end(data)
    w.end(metric)
    if (w.length < MAX_REQUEST_BYTES) continue
    yield w.bytes()
    w.clear()
    sliced = 0

    function valuePoint({ labels, value }: Exclude<Reading, { kind: 'histogram' }>): void {
      const point = w.begin(1)
      if (kind === 'counter') w.fixed64(2, startMs * NS_PER_MS)
      w.fixed64(3, nowMs * NS_PER_MS)
      w.double(4, exact(value * told!.scale))
      attributes(7, labels)
      w.end(point)
    }

    function histogramPoint({ labels, buckets, sum }: Extract<Reading, { kind: 'histogram' }>): void {
      const { upper, of } = boundsOf(name, told!.scale)
      const counts = new Float64Array(upper.length + 1)
      let count = 0
      for (let i = 0; i < buckets.length; i++) {
        counts[of[i] ?? upper.length] += buckets[i]
        count += buckets[i]
      }
      const point = w.begin(1)
      w.fixed64(2, startMs * NS_PER_MS)
      w.fixed64(3, nowMs * NS_PER_MS)
      if (count > 0) w.fixed64(4, count)
      w.double(5, exact(sum * told!.scale))
      w.packedFixed64(6, counts)
      w.packedDoubles(7, upper.map(Number))
      attributes(9, labels)
      w.end(point)
    }

    function attributes(field: number, labels: Labels | undefined): void {
      if (labels === undefined) return
      if (!told!.isGenAi) {
        for (const [label, value] of labels) textAttribute(w, field, label, value)
        return
      }
      for (const [label, value] of labels) genAiAttribute(w, field, names, label, value, calledAt)
    }
  }
  if (w.length > 0) yield w.bytes()
}

function toldAs(names: Names, name: string, help: string): Told | null {
  const genAi = names.metrics[name]
  if (genAi === null) return null
  const own = ownName(name)
  return genAi === undefined ? { ...own, help, isGenAi: false } : { ...genAi, scale: own.scale, isGenAi: true }
}

/** A label of ours as OpenTelemetry's conventions name it; those that they don't know keep their names. */
function genAiAttribute(
  w: ProtoWriter,
  field: number,
  { attributes }: Names,
  label: string,
  value: string,
  calledAt: CalledAtOf,
): void {
  const add = (key: string, text: string): void => textAttribute(w, field, key, text)
  switch (label) {
    case 'model':
      return add(attributes.requestModel, value)
    case 'operation':
      return add(attributes.operation, value)
    case 'type':
      return add(attributes.tokenType, value)
    case 'code':
      return value === 'none' ? undefined : add('error.type', value)
    case 'deployment': {
      const at = calledAt(value)
      if (at !== null) add(attributes.provider, providerName(at.provider))
      if (at !== null && at.address !== null) add('server.address', at.address)
      if (at !== null && at.port !== null) countAttribute(w, field, 'server.port', at.port)
      return add('sluice.deployment', value)
    }
    default:
      return add(`sluice.${label}`, value)
  }
}

/** Without the noise of binary fractions. */
const exact = (value: number): number => (Number.isFinite(value) ? Number(value.toPrecision(12)) : 0)
