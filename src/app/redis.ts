/** The Redis of the settings: its address, and what `sluice doctor` asks of it. */
import type { Config } from '../config/schema.ts'
import type { Checked } from '../engines/redis/client/check.ts'
import type { RedisAddress } from '../engines/redis/client/connection.ts'

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
