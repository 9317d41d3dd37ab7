/** The Redis of the settings: its address, and what `sluice doctor` asks of it. */
import type { Config } from '../config/schema.ts'
import { systemClock, Wheel } from '../core/clock.ts'
import { systemIds } from '../core/ids.ts'
import type { FleetSettings } from '../engines/redis/bus/in-force.ts'
import type { Checked } from '../engines/redis/client/check.ts'
import type { RedisAddress } from '../engines/redis/client/connection.ts'
import { decisionSettings } from './decisions.ts'
import { Settings } from './in-force.ts'

export type RedisSettings = Exclude<Config['engine'], 'embedded'>['redis']

export const redisAddress = ({ url, nodes, prefix }: RedisSettings): RedisAddress => ({
  url: typeof url === 'string' ? url : url.reveal(),
  nodes,
  prefix,
})

export async function examineRedis(settings: RedisSettings, durability: Config['durability']): Promise<Checked> {
  const { examineRedis } = await import('../engines/redis/client/check.ts')
  return examineRedis(redisAddress(settings), durability)
}

/** How the settings of a fleet that runs differ from these. Null: none runs. Rejects where there can't be providers. */
export async function compareWithFleet(config: Config, redis: RedisSettings): Promise<FleetSettings | null> {
  const { settingsInForce } = await import('../engines/redis/bus/in-force.ts')
  const runtime = { clock: systemClock, ids: systemIds(), wheel: new Wheel(systemClock) }
  const settings = await Settings.open(config, runtime)
  settings.close()
  return settingsInForce(redisAddress(redis), decisionSettings(settings)(), systemClock)
}
