/** The checks of `sluice doctor`. Each reports what it found, and what to do about it. */
import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { examine } from '../app/data-folder.ts'
import { examineKafkas, examineRabbit } from '../app/intakes.ts'
import { compareWithFleet, examineRedis, type RedisSettings } from '../app/redis.ts'
import type { Config, ModelConfig } from '../config/schema.ts'
import { ADMIN_KEY, readSecret } from '../config/secret-file.ts'
import { urlOf } from '../core/address.ts'
import { systemClock } from '../core/clock.ts'
import type { Provider } from '../core/ports/provider.ts'
import type { Client } from './client.ts'

export interface Check {
  readonly name: string
  readonly verdict: 'ok' | 'note' | 'failed'
  readonly detail: string
}

export interface NamedProvider {
  readonly name: string
  /** Its settings, to tell which one is to blame. */
  readonly model?: ModelConfig
  readonly provider: Pick<Provider, 'check' | 'close'>
}

/** All checks, none of which waits longer than a few seconds. The providers are closed. */
export async function checkAll(config: Config, providers: readonly NamedProvider[]): Promise<readonly Check[]> {
  const { host, port, admin, engine } = config
  const [rabbit, kafka, store, publicPort, adminPort, ...reached] = await Promise.all([
    checkRabbit(config),
    checkKafka(config),
    engine === 'embedded' ? checkData(config) : checkRedis(engine.redis, config.durability),
    checkPort('port', host, port),
    checkPort('admin.port', admin.host, admin.port),
    ...providers.map(checkProvider),
  ])
  return [
    checkNode(process.versions.node),
    ...store,
    ...rabbit,
    ...kafka,
    ...checkAdminKey(config),
    ...(config.role === 'worker' ? [] : [publicPort]),
    adminPort,
    ...config.models.flatMap(checkCertificates),
    ...reached,
  ]
}

export function checkNode(version: string): Check {
  const good = Number(version.split('.')[0]) >= 24
  return {
    name: 'node',
    verdict: good ? 'ok' : 'failed',
    detail: good ? version : `${version}, but Sluice needs 24 or newer`,
  }
}

function checkData(config: Config): readonly Check[] {
  const folder = checkFolder(config.dataDir, config.durability)
  const isUsed = folder.verdict !== 'failed' && config.durability !== 'memory'
  return isUsed ? [folder, checkDisk(config)] : [folder]
}

const REDIS_CHECK_MS = 10_000

/** Each server, what would be better, and what can't be kept. */
export async function checkRedis(settings: RedisSettings, durability: Config['durability']): Promise<readonly Check[]> {
  const name = 'engine.redis'
  const { url, allowDataLoss } = settings
  // What is missing has a row of its own
  if (typeof url !== 'string' && !url.known) return []
  try {
    const { servers, losses, advice } = await withTimeout(() => examineRedis(settings, durability), REDIS_CHECK_MS)
    return [
      ...servers.map((detail): Check => ({ name, verdict: 'ok', detail })),
      ...advice.map((detail): Check => ({ name, verdict: 'note', detail })),
      ...losses.map((detail): Check => ({ name, verdict: allowDataLoss ? 'note' : 'failed', detail })),
    ]
  } catch (error) {
    return [{ name, verdict: 'failed', detail: (error as Error).message }]
  }
}

/** The broker, and each pool's queue. */
export async function checkRabbit(config: Pick<Config, 'intakes' | 'pools'>): Promise<readonly Check[]> {
  const name = 'intakes.rabbitmq'
  try {
    const found = await withTimeout(() => examineRabbit(config), REDIS_CHECK_MS)
    if (found === null) return []
    const queues = found.queues.map((queue, i): Check => {
      const { pool } = found.pools[i]
      if (queue === null)
        return { name, verdict: 'note', detail: `pool ${pool}: its queue is made at the start of Sluice` }
      const { ready, consumers, dead } = queue
      const detail = `pool ${pool}: ${ready} messages wait, ${consumers} processes take`
      const letters = dead === 0 ? '' : `, ${dead} dead letters: see "dead letters pile up" in docs/operations.md`
      return { name, verdict: (ready > 0 && consumers === 0) || dead > 0 ? 'note' : 'ok', detail: detail + letters }
    })
    return [{ name, verdict: 'ok', detail: found.server }, ...queues]
  } catch (error) {
    return [{ name, verdict: 'failed', detail: (error as Error).message }]
  }
}

/** The brokers, and each topic that is used: is it there, can it be made, and what does it keep? */
export async function checkKafka(config: Pick<Config, 'intakes' | 'pools'>): Promise<readonly Check[]> {
  const name = 'intakes.kafka'
  try {
    const found = await withTimeout(() => examineKafkas(config), REDIS_CHECK_MS)
    if (found === null) return []
    return [
      { name, verdict: 'ok', detail: found.server },
      ...found.unreachable.map((broker): Check => {
        const detail = `${broker}, where a broker says that it is, can't be reached: see its advertised.listeners`
        return { name, verdict: 'failed', detail }
      }),
      ...found.topics.map((topic): Check => ({ name, ...topic })),
    ]
  } catch (error) {
    return [{ name, verdict: 'failed', detail: (error as Error).message }]
  }
}

/** Whether a fleet that runs decides by these settings: its coordinator may have been started with others. */
export async function checkFleet(config: Config): Promise<readonly Check[]> {
  const { engine } = config
  if (engine === 'embedded') return []
  const name = 'fleet'
  try {
    const found = await withTimeout(() => compareWithFleet(config, engine.redis), REDIS_CHECK_MS)
    if (found === null) return []
    const { coordinator, differ } = found
    if (differ.length === 0) return [{ name, verdict: 'ok', detail: `${coordinator} coordinates it by these settings` }]
    const detail =
      `${coordinator} coordinates it, by other settings than these: ${differ.join(', ')}. Reload, or restart, ` +
      'whichever is not up to date'
    return [{ name, verdict: 'note', detail }]
  } catch {
    return [] // what can't be reached, or made, has a row of its own
  }
}

/** The folder, or the nearest existing one above it. */
function standing(path: string): string {
  const full = resolve(path)
  return existsSync(full) || full === dirname(full) ? full : standing(dirname(full))
}

export function checkFolder(dataDir: string, durability: Config['durability']): Check {
  const name = 'data_dir'
  if (durability === 'memory')
    return {
      name,
      verdict: 'note',
      detail: 'durability is memory: nothing is stored, and all jobs are lost when the process ends',
    }
  try {
    const { made, warnings } = examine(dataDir)
    if (warnings.length > 0) return { name, verdict: 'note', detail: warnings.join(' ') }
    return {
      name,
      verdict: 'ok',
      detail: made ? `${dataDir} will be created at first start` : `${dataDir} is writable`,
    }
  } catch (error) {
    return { name, verdict: 'failed', detail: (error as Error).message }
  }
}

/** What the next start would refuse. */
export function checkAdminKey({ admin, dataDir }: Pick<Config, 'admin' | 'dataDir'>): readonly Check[] {
  if (admin.key !== null) return []
  const name = 'admin.key'
  try {
    const isThere = readSecret(join(dataDir, 'admin.key'), ADMIN_KEY) !== null
    return [{ name, verdict: 'ok', detail: isThere ? `${dataDir}/admin.key` : 'will be created at first start' }]
  } catch (error) {
    return [{ name, verdict: 'failed', detail: (error as Error).message }]
  }
}

const NEEDED_BYTES = 64 * 2 ** 20

export function checkDisk(config: {
  readonly dataDir: string
  readonly retention: Pick<Config['retention'], 'bytes'>
}): Check {
  const { bavail, bsize } = statfsSync(standing(config.dataDir))
  const free = bavail * bsize
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`
  if (free < NEEDED_BYTES)
    return {
      name: 'disk',
      verdict: 'failed',
      detail: `only ${gib(free)} free: new work is refused when the disk is full`,
    }
  const tight = free < config.retention.bytes
  return {
    name: 'disk',
    verdict: tight ? 'note' : 'ok',
    detail: `${gib(free)} free${tight ? `, less than retention.bytes (${gib(config.retention.bytes)})` : ''}`,
  }
}

/** Free, or used by a running Sluice. */
export async function checkPort(name: string, host: string, port: number): Promise<Check> {
  if (port === 0) return { name, verdict: 'ok', detail: 'any free port' }
  const error = await new Promise<NodeJS.ErrnoException | null>((done) => {
    const probe = createServer()
    probe.once('error', done)
    probe.listen(port, host, () => probe.close(() => done(null)))
  })
  if (error === null) return { name, verdict: 'ok', detail: `${host}:${port} is free` }
  if (error.code !== 'EADDRINUSE')
    return { name, verdict: 'failed', detail: `${host}:${port} can't be used (${error.code})` }
  if (await isSluice(urlOf({ host, port })))
    return { name, verdict: 'ok', detail: `Sluice is running there (${host}:${port})` }
  return { name, verdict: 'failed', detail: `${host}:${port} is in use by another program` }
}

/** A route under /v1 without a key is refused in our own words. */
async function isSluice(url: string): Promise<boolean> {
  const paths = ['/v1/jobs', '/admin/keys']
  const answers = await Promise.all(
    paths.map((path) =>
      withTimeout((signal) => fetch(`${url}${path}`, { signal }).then((r) => r.text()), 2_000).catch(() => ''),
    ),
  )
  return answers.some((text) => text.includes('"missing_api_key"'))
}

interface Deployment {
  readonly deployment: string
  readonly unwell: ReadonlyArray<{
    readonly model: string
    readonly cools_for_ms: number
    readonly failures_in_row: number
  }>
}

/** A provider may have been away for a moment: fewer failures are not worth a line. */
const FAILURES_IN_ROW = 3
const SHOWN_OF_ONE = 5
const ASKED_MS = 3_000

/** Deployments that a running server finds unwell; none if no server runs, or it refuses our key. */
export async function checkDeployments(server: Client): Promise<readonly Check[]> {
  try {
    const response = await withTimeout((signal) => server.call('GET', '/admin/deployments', { signal }), ASKED_MS)
    const { data } = (await response.json()) as { readonly data: readonly Deployment[] }
    return data.flatMap(({ deployment: name, unwell }) =>
      unwell
        .flatMap((one): Check[] => {
          const detail = ailment(one)
          return detail === null ? [] : [{ name, verdict: 'note', detail }]
        })
        .slice(0, SHOWN_OF_ONE),
    )
  } catch {
    return []
  }
}

function ailment({ model, cools_for_ms: ms, failures_in_row: failures }: Deployment['unwell'][number]): string | null {
  const failed = failures < FAILURES_IN_ROW ? '' : `it failed ${failures} times in a row`
  if (ms > 0) return `left alone for ${Math.ceil(ms / 1000)} s (${model})${failed && `; ${failed}`}`
  return failed === '' ? null : `${failed} (${model})`
}

function checkCertificates(model: Config['models'][number]): readonly Check[] {
  if (!('caFile' in model) || model.caFile === null) return []
  const name = `${model.name}: ca_file`
  try {
    const { subject, validTo } = new X509Certificate(readFileSync(model.caFile))
    return [{ name, verdict: 'ok', detail: `${subject.replaceAll('\n', ', ')}, until ${validTo}` }]
  } catch (error) {
    return [
      {
        name,
        verdict: 'failed',
        detail:
          `${model.caFile} can't be read as a certificate ` + `(${(error as NodeJS.ErrnoException).code ?? 'not PEM'})`,
      },
    ]
  }
}

const PROVIDER_CHECK_MS = 10_000

async function checkProvider({ name, provider, model }: NamedProvider): Promise<Check> {
  try {
    const { ok, detail, status } = await withTimeout(() => provider.check(), PROVIDER_CHECK_MS)
    if (ok || !status || model === undefined) return { name, verdict: ok ? 'ok' : 'failed', detail }
    return { name, verdict: 'failed', detail: blame(model, status) }
  } catch (error) {
    return { name, verdict: 'failed', detail: (error as Error).message }
  } finally {
    provider.close()
  }
}

/** Paths that SDKs append to a base URL. */
const ROUTE = /(\/(?:chat\/completions|completions|embeddings|models|responses))\/*$/

/** The setting that explains a status other than 200. */
function blame(model: ModelConfig, status: number): string {
  if (!('apiKey' in model)) return `HTTP ${status}`
  const { apiKey: key, baseUrl: url, headers, provider } = model
  if (status === 401 || status === 403) {
    if (key !== null) return `the provider refused the api_key (HTTP ${status})`
    const isSent = Object.keys(headers).some((name) => /auth|key|token/i.test(name))
    return isSent
      ? `the provider refused the credentials in headers (HTTP ${status})`
      : `no api_key is configured, and the provider requires one (HTTP ${status})`
  }
  if (status !== 404 && status !== 405) return `HTTP ${status}`
  const path = new URL(url ?? 'http://unset').pathname
  const route = ROUTE.exec(path)?.[1]
  if (route !== undefined) return `HTTP ${status}: base_url must end before "${route}"`
  return provider === 'azure' || /\/v\d/.test(path)
    ? `HTTP ${status}: check base_url`
    : `HTTP ${status}: base_url has no "/v1" at its end, which most providers need`
}

function withTimeout<T>(run: (signal: AbortSignal) => Promise<T>, ms: number): Promise<T> {
  const abort = new AbortController()
  return new Promise((done, fail) => {
    const cancel = systemClock.after(ms, () => {
      abort.abort()
      fail(new Error(`no answer within ${ms / 1000} s`))
    })
    run(abort.signal).then(done, fail).finally(cancel)
  })
}
