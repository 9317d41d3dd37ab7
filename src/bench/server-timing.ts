/** What a server told of its own time: the header `server-timing` (W3C), or the `timing` of a job's end. */
import type { JsonRecord } from '../core/json.ts'
import { isRecord } from '../core/json.ts'
import type { TtftParts } from '../core/measure.ts'
import type { ServerTimings } from './record.ts'

const PARTS = [
  'admission',
  'turn',
  'queue',
  'retries',
  'routing',
  'connect',
  'upstream',
  'delivery',
] as const satisfies Array<keyof TtftParts>
const WHOLES = ['ttft', 'tpot', 'total'] as const
const MAX_CHARS = 4_096
const METRIC = /^\s*([\w.-]{1,64})\s*((?:;[^;]*){0,8})$/
const DURATION = /;\s*dur\s*=\s*"?(\d{1,9}(?:\.\d{1,9})?)"?/

/** `queue;dur=12.5, upstream;dur=208` */
export function readServerTiming(text: string): ServerTimings {
  const parts: { -readonly [name in keyof TtftParts]?: number } = {}
  const more: { -readonly [name in (typeof WHOLES)[number]]?: number } = {}
  for (const metric of text.slice(0, MAX_CHARS).split(',')) {
    const [, name, params = ''] = METRIC.exec(metric) ?? []
    const [, duration] = DURATION.exec(params) ?? []
    if (name === undefined || duration === undefined) continue
    const part = PARTS.find((each) => each === name)
    if (part !== undefined) parts[part] = Number(duration)
    const whole = WHOLES.find((each) => each === name)
    if (whole !== undefined) more[whole] = Number(duration)
  }
  return { ...more, ...(Object.keys(parts).length > 0 && { parts }) }
}

/** Of a job: `{ttft_ms, tpot_ms, total_ms, ttft: {queue_ms, …}}`. */
export function partsOfTiming(timing: JsonRecord): ServerTimings {
  const parts: { -readonly [name in keyof TtftParts]?: number } = {}
  const told = timing['ttft']
  if (isRecord(told))
    for (const part of PARTS) if (typeof told[`${part}_ms`] === 'number') parts[part] = told[`${part}_ms`] as number
  return {
    ...Object.fromEntries(
      WHOLES.flatMap((name) => (typeof timing[`${name}_ms`] === 'number' ? [[name, timing[`${name}_ms`]]] : [])),
    ),
    ...(Object.keys(parts).length > 0 && { parts }),
  }
}

/** What `more` tells is added; where both tell, `more` counts. */
export function joined(told: ServerTimings, more: ServerTimings): ServerTimings {
  return {
    ...told,
    ...more,
    ...((told.parts ?? more.parts) && { parts: { ...told.parts, ...more.parts } }),
    ...((told.engine ?? more.engine) && { engine: { ...told.engine, ...more.engine } }),
  }
}
