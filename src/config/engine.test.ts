import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { type Environment, loadConfig } from './load.ts'
import { printConfig } from './print.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-engine-'))
afterAll(() => rmSync(dir, { recursive: true }))

const PASSWORD = 'pw-5f1e9a'
const URL_WITH_PASSWORD = `rediss://sluice:${PASSWORD}@redis.internal:6380/2`

const load = (yaml: string | null, env: Environment = {}, flags: Record<string, string> = {}) => {
  const file = join(dir, 'sluice.yaml')
  if (yaml !== null) writeFileSync(file, yaml)
  return loadConfig({ file: yaml === null ? undefined : file, env, flags })
}
const engineOf = (...given: Parameters<typeof load>) => {
  const { engine } = load(...given).config
  if (engine === 'embedded') return engine
  const { url, ...more } = engine.redis
  return { url: typeof url === 'string' ? url : url.reveal(), ...more }
}
const refusal = (...given: Parameters<typeof load>): string => {
  try {
    load(...given)
  } catch (error) {
    expect(error).toMatchObject({ code: 'config_invalid' })
    expect((error as Error).message).not.toContain(PASSWORD)
    return (error as Error).message.replaceAll(`${dir}/`, '')
  }
  return 'it was taken'
}

const REDIS = { url: 'redis://127.0.0.1:6379', nodes: [], prefix: '', allowDataLoss: false }

describe('the engine', () => {
  it('is embedded, or a Redis with its settings', () => {
    expect(engineOf(null)).toBe('embedded')
    expect(engineOf('engine: embedded')).toBe('embedded')
    expect(engineOf('engine: { redis: { url: redis://127.0.0.1:6379 } }')).toEqual(REDIS)
    expect(
      engineOf(
        'engine: { redis: { url: rediss://u@h, nodes: [h2:7000, "[::1]:7001"], prefix: "a:", allow_data_loss: true } }',
      ),
    ).toEqual({ url: 'rediss://u@h', nodes: ['h2:7000', '[::1]:7001'], prefix: 'a:', allowDataLoss: true })
  })

  it('is chosen by the address alone, in the environment or as a flag', () => {
    expect(engineOf(null, { SLUICE_REDIS_URL: REDIS.url })).toEqual(REDIS)
    expect(engineOf(null, {}, { 'redis-url': REDIS.url })).toEqual(REDIS)
    expect(engineOf('engine: embedded', { SLUICE_REDIS_URL: REDIS.url })).toEqual(REDIS)
    expect(engineOf(null, { SLUICE_ENGINE: 'embedded' }, { 'redis-url': REDIS.url })).toEqual(REDIS)
    const more = { SLUICE_REDIS_URL: REDIS.url, SLUICE_REDIS_NODES: 'b:1,c:2', SLUICE_REDIS_PREFIX: 'x' }
    expect(engineOf(null, more)).toEqual({ ...REDIS, nodes: ['b:1', 'c:2'], prefix: 'x' })
    // What a later source names, it changes alone
    const file = 'engine: { redis: { url: redis://a, prefix: p } }'
    expect(engineOf(file, { SLUICE_REDIS_URL: 'redis://b' })).toEqual({ ...REDIS, url: 'redis://b', prefix: 'p' })
    expect(engineOf(file, {}, { engine: 'embedded' })).toBe('embedded')
    expect(engineOf(file, { SLUICE_ENGINE: 'EMBEDDED' })).toBe('embedded')
    expect(engineOf(null, { SLUICE_ENGINE: 'redis', SLUICE_REDIS_URL: REDIS.url })).toEqual(REDIS)
  })

  it('its address may have a password by reference, which shows nowhere', () => {
    const given = [
      load(null, { SLUICE_REDIS_URL: URL_WITH_PASSWORD }),
      load('engine: { redis: { url: { env: REDIS } } }', { REDIS: URL_WITH_PASSWORD }),
    ]
    for (const loaded of given) {
      expect(loaded.config.engine).not.toBe('embedded')
      for (const text of [printConfig(loaded), JSON.stringify(loaded), inspect(loaded, { depth: 9 })])
        expect(text).not.toContain(PASSWORD)
    }
    expect(engineOf(null, { SLUICE_REDIS_URL: URL_WITH_PASSWORD })).toMatchObject({ url: URL_WITH_PASSWORD })
    const printed = printConfig(given[0])
    expect(printed).toContain('url: { env: SLUICE_REDIS_URL } # SLUICE_REDIS_URL')
    const again = load(printed, { SLUICE_REDIS_URL: URL_WITH_PASSWORD })
    expect(JSON.stringify(again.config)).toBe(JSON.stringify(given[0].config))
  })

  it('what is wrong with it is told, and what was meant', () => {
    const engine = (text: string): string => refusal(`engine: ${text}`)
    const redis = (text: string): string => engine(`{ redis: { ${text} } }`)
    for (const word of ['embeded', 'redis', '[]', '3'])
      expect(engine(word)).toMatch(
        /^sluice.yaml:1:1: engine: must be "embedded", or a group with the address of a Redis/,
      )
    expect(engine('{ reddis: { url: redis://a } }')).toContain(
      'engine.reddis: is not a known setting. Did you mean "redis"?',
    )
    expect(engine('{}')).toContain('engine.redis: is required')
    expect(redis('')).toContain('engine.redis.url: is required')
    expect(redis('url: redis://a, prefx: b')).toContain(
      'engine.redis.prefx: is not a known setting. Did you mean "prefix"?',
    )
    expect(redis('url: http://a')).toContain('engine.redis.url: must be an address such as redis://127.0.0.1:6379')
    expect(redis('url: 127.0.0.1:6379')).toContain('must be an address such as redis://')
    expect(redis('url: redis://a/b')).toContain('must end with the port, or with the number of a database')
    expect(redis(`url: redis://a/?password=${PASSWORD}`)).toContain('must end with the port')
    expect(redis(`url: redis://u:${PASSWORD}@a`)).toContain('contains a password: give the address by reference')
    expect(refusal(null, {}, { 'redis-url': `redis://:${PASSWORD}@a` })).toMatch(/^--redis-url: .*contains a password/)
    expect(redis('url: redis://a, nodes: [redis://b]')).toContain('expected the host and port of a node')
    for (const wrong of ['redis://b', '10.0.0.1', 'a:1, b'])
      expect(refusal(null, { SLUICE_REDIS_URL: 'redis://a' }, { 'redis-nodes': wrong })).toMatch(
        /^--redis-nodes: expected the host and port of a node/,
      )
    expect(redis('url: redis://a/3, nodes: [b:1]')).toContain('a Redis Cluster has only the database 0')
    expect(redis('url: redis://a, prefix: "{x}"')).toContain('engine.redis.prefix: expected letters')
    expect(refusal(null, { SLUICE_REDIS_PREFIX: 'a' })).toContain('engine.redis.url: is required')
    expect(refusal(null, { SLUICE_REDIS_URL: `redis://:${PASSWORD}#@a` })).toMatch(
      /^SLUICE_REDIS_URL: must be an address .*%23/,
    )
    expect(refusal(null, { SLUICE_REDIS_URL: 'redis://:100%@a' })).toContain('it is written %25')
    expect(refusal(null, { SLUICE_REDIS_URL: `http://${PASSWORD}@a` })).toContain('must be an address such as')
    expect(refusal('engine: { redis: { url: { env: NONE } } }')).toContain('the environment variable NONE is not set')
    expect(refusal(null, { SLUICE_ENGINE: 'embedded', SLUICE_REDIS_URL: REDIS.url })).toBe(
      'SLUICE_REDIS_URL: is given, but SLUICE_ENGINE is "embedded": leave out one of them',
    )
  })
})

describe('a role', () => {
  it('needs an engine that processes share', () => {
    expect(load(null).config.role).toBe('all')
    expect(load(null, { SLUICE_ROLE: 'Worker', SLUICE_REDIS_URL: REDIS.url }).config.role).toBe('worker')
    expect(load(null, { SLUICE_REDIS_URL: REDIS.url }, { role: 'gateway' }).config.role).toBe('gateway')
    for (const role of ['gateway', 'worker'])
      expect(refusal(null, {}, { role })).toBe(
        `--role: "${role}" needs a Redis, which it shares with other processes: give its address with --redis-url, ` +
          'SLUICE_REDIS_URL or engine.redis.url',
      )
    expect(refusal(null, {}, { role: 'gatway' })).toContain('Did you mean "gateway"?')
  })
})
