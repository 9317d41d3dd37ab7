/** The export to an OpenTelemetry collector, as it is configured. */
import { readRegularFile } from '../config/regular-file.ts'
import type { Config, ModelConfig } from '../config/schema.ts'
import { version } from '../config/version.ts'
import { SluiceError } from '../core/errors.ts'
import { createExporter, type Exporter } from '../observability/otlp/exporter.ts'
import { readHeaderList } from '../observability/otlp/header-list.ts'
import type { CalledAt, CalledAtOf } from '../observability/otlp/spans.ts'
import { UNKNOWN } from '../observability/recorded/recorded.ts'
import type { Reading } from '../observability/registry.ts'
import { Secret } from '../settings/fields.ts'
import type { Settings } from './in-force.ts'
import type { NamedProvider } from './models.ts'
import type { Runtime } from './runtime.ts'

export interface OtlpParts {
  readonly modelOf: (asked: string) => string | null
  readonly read: () => Promise<readonly Reading[]>
}

type Otlp = Config['telemetry']['otlp']

/** Null: nothing is exported. Throws config_invalid. */
export function otlpOf(
  settings: Settings,
  { modelOf, read }: OtlpParts,
  { clock, ids, log }: Pick<Runtime, 'clock' | 'ids' | 'log'>,
): Exporter | null {
  const { otlp } = settings.config.telemetry
  if (otlp.endpoint === null || !(otlp.traces || otlp.metrics)) return null
  return createExporter({
    ...otlp,
    endpoint: otlp.endpoint,
    headers: headersOf(otlp),
    ca: otlp.caFile === null ? null : caOf(otlp.caFile),
    version,
    clock,
    random: (bytes) => ids.random(bytes),
    jitter: () => ids.jitter(),
    log,
    modelOf: (asked) => modelOf(asked) ?? UNKNOWN,
    calledAt: calledAtOf(settings),
    read,
  })
}

function headersOf({ headers, headerList }: Otlp): Readonly<Record<string, string>> {
  const named = Object.entries(headers).map(([name, value]) => [
    name.toLowerCase(),
    value instanceof Secret ? value.reveal() : value,
  ])
  const listed = headerList === null ? {} : readHeaderList(headerList.reveal())
  if (listed === null)
    throw new SluiceError('config_invalid', {
      message: `telemetry.otlp.header_list: the value of ${headerList} must be name=value,name=value.`,
    })
  return { ...listed, ...(Object.fromEntries(named) as Record<string, string>) }
}

function caOf(path: string): string {
  try {
    return readRegularFile(path)
  } catch (cause) {
    const { code = 'error' } = cause as NodeJS.ErrnoException
    throw new SluiceError('config_invalid', {
      message: `telemetry.otlp.ca_file: ${path} can't be read (${code}).`,
      cause,
    })
  }
}

/** By the configuration in force: made anew after a reload. */
function calledAtOf(settings: Pick<Settings, 'providers'>): CalledAtOf {
  let of: readonly NamedProvider[] | null = null
  let places = new Map<string, CalledAt>()
  return (deployment) => {
    if (of !== settings.providers) {
      of = settings.providers
      places = new Map(of.map(({ name, model }) => [name, placeOf(model)]))
    }
    return places.get(deployment) ?? null
  }
}

const OWN_ADDRESS: Readonly<Record<string, string>> = { openai: 'https://api.openai.com' }

function placeOf(model: ModelConfig): CalledAt {
  const { provider } = model
  const base = ('baseUrl' in model ? model.baseUrl : null) ?? OWN_ADDRESS[provider]
  if (base === undefined || !URL.canParse(base)) return { provider, address: null, port: null }
  const { hostname: address, port, protocol } = new URL(base)
  return { provider, address, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) }
}
