import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { loadConfig } from './load.ts'
import { printConfig } from './print.ts'

const ENDPOINT = 'http://collector:4318'
const env = { OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS: 'api-key=canary-5d1c' }
const write = (yaml: string): string => {
  const file = join(mkdtempSync(join(tmpdir(), 'sluice-otel-')), 'sluice.yaml')
  writeFileSync(file, yaml)
  return file
}
const otlpOf = (given: Record<string, string>, yaml?: string) =>
  loadConfig({ env: given, ...(yaml !== undefined && { file: write(yaml) }) }).config.telemetry.otlp

it('the environment of OpenTelemetry’s SDKs names a collector where nothing else does', () => {
  const otlp = otlpOf(env)
  expect(otlp.endpoint).toBe(ENDPOINT)
  expect(otlp.headerList!.reveal()).toBe('api-key=canary-5d1c')
  expect(otlpOf(env, 'telemetry: { otlp: { sample: 5% } }')).toMatchObject({ endpoint: ENDPOINT, sample: 0.05 })
})

it('its headers go to its own endpoint alone', () => {
  expect(otlpOf(env, 'telemetry: { otlp: { endpoint: "http://other:4318" } }')).toMatchObject({
    endpoint: 'http://other:4318',
    headerList: null,
  })
  expect(otlpOf({ ...env, SLUICE_TELEMETRY_OTLP_ENDPOINT: 'http://other:4318' }).headerList).toBeNull()
})

it.each<[string, Record<string, string>, string]>([
  ['the file', {}, 'telemetry: { otlp: { endpoint: null } }'],
  ['its own switch', { OTEL_SDK_DISABLED: 'TRUE' }, 'port: 4100'],
  ['a protocol that is not spoken', { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'port: 4100'],
])('%s turns that off', (_what, more, yaml) => {
  expect(otlpOf({ ...env, ...more }, yaml)).toMatchObject({ endpoint: null, headerList: null })
})

it('what is not spoken is told', () => {
  const { warnings } = loadConfig({ env: { ...env, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' } })
  expect(warnings.join()).toContain('OTEL_EXPORTER_OTLP_PROTOCOL is grpc')
})

it('the printed configuration has no value of a header', () => {
  const yaml = 'telemetry: { otlp: { headers: { x-scope: canary-plain, x-key: { env: K } } } }'
  const printed = printConfig(loadConfig({ env: { ...env, K: 'canary-key' }, file: write(yaml) }))
  expect(printed).not.toContain('canary')
  expect(printed).toContain('OTEL_EXPORTER_OTLP_HEADERS')
})

it('a header that looks like a credential is a reference', () => {
  const yaml = 'telemetry: { otlp: { headers: { authorization: "Bearer canary" } } }'
  expect(() => otlpOf({}, yaml)).toThrow(/authorization: looks like a credential/)
})
