/** Can this server keep what `durability` promises? Looked at when it is opened, and by `sluice doctor`. */
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Durability } from '../../shared/durability.ts'
import { Connection, type RedisAddress } from './connection.ts'
import { storageError } from './errors.ts'
import { openError } from './open-error.ts'

/** One server: every primary of a cluster is looked at. */
export interface Node {
  readonly name: string
  call(command: string, ...args: string[]): Promise<unknown>
}

export interface Demands {
  readonly durability: Durability
  /** Is it spoken to as a cluster? */
  readonly cluster: boolean
  /** What it can't keep becomes a warning instead of an error. */
  readonly allowDataLoss: boolean
}

export interface Checked {
  /** Each server, with what was looked at: "127.0.0.1:6379: Redis 7.0.15, maxmemory-policy noeviction, …". */
  readonly servers: readonly string[]
  /** Why it can't keep what `durability` promises, where `allowDataLoss`. */
  readonly losses: readonly string[]
  /** What else its settings should have. */
  readonly advice: readonly string[]
}

/** Streams with MINID, and in a cluster the channels of a slot. */
const OLDEST = { alone: '6.2', cluster: '7.0' }
const OLDEST_VALKEY = '7.2'

/** As checkServers, of the server or cluster that a connection is to. Rejects with storage_unavailable, too. */
export async function checkConnection(connection: Connection, demands: Omit<Demands, 'cluster'>): Promise<Checked> {
  const { sharded } = connection
  const primaries = await connection.primaries()
  try {
    await Promise.all(primaries.map((primary) => primary.connect()))
    const nodes = (primaries.length > 0 ? primaries : [connection.client]).map((primary): Node => {
      const { host, port } = primary.options
      return { name: `${host}:${port}`, call: (command, ...args) => primary.call(command, ...args) }
    })
    return await checkServers(nodes, { ...demands, cluster: sharded })
  } catch (error) {
    throw storageError(error)
  } finally {
    for (const primary of primaries) primary.disconnect()
  }
}

/**
 * Warns of what the start found (`known`), and looks again now and then: settings change while a server runs, and
 * another one may answer at its address. Only what is new is told; nothing that runs is refused.
 */
export function watchSettings(
  connection: Connection,
  durability: Durability,
  known: Checked,
  clock: Clock,
  warn: (code: 'data_may_be_lost' | 'redis_settings', detail: string) => void,
): () => void {
  let told = new Set<string>()
  const tell = ({ losses, advice }: Checked): void => {
    for (const detail of losses) if (!told.has(detail)) warn('data_may_be_lost', detail)
    for (const detail of advice) if (!told.has(detail)) warn('redis_settings', detail)
    told = new Set([...losses, ...advice])
  }
  const look = async (): Promise<void> => tell(await checkConnection(connection, { durability, allowDataLoss: true }))
  tell(known)
  return clock.every(LOOK_MS, () => void look().catch(() => {})) // away, which health tells
}

const LOOK_MS = 60_000

/** Rejects with config_invalid, which names the node and says what to do. */
export async function checkServers(nodes: readonly Node[], demands: Demands): Promise<Checked> {
  const found = await Promise.all(nodes.map((node) => look(node)))
  for (const one of found) mustServe(one, demands)
  const losses = found.flatMap((one) => lossesOf(one, demands.durability).map((loss) => `${one.name}: ${loss}`))
  if (losses.length > 0 && !demands.allowDataLoss)
    throw new SluiceError('config_invalid', {
      message: `Redis can't keep "durability: ${demands.durability}". ${losses.join(' ')} ${ANYWAY}`,
    })
  const advice = found.flatMap((one) => adviceOf(one, demands.durability).map((text) => `${one.name}: ${text}`))
  return { servers: found.map(described), losses, advice }
}

/** For `sluice doctor`. Rejects with what would keep a process from starting, but for losses. */
export async function examineRedis(redis: RedisAddress, durability: Durability): Promise<Checked> {
  const connection = new Connection(redis)
  try {
    await connection.open()
    return await checkConnection(connection, { durability, allowDataLoss: true })
  } catch (error) {
    throw openError(error, redis)
  } finally {
    connection.close()
  }
}

function described({ name, info, config }: Found): string {
  const sync = info.get('aof_enabled') === '1' ? `yes, appendfsync ${config?.get('appendfsync') ?? 'unknown'}` : 'no'
  const cluster = info.get('cluster_enabled') === '1' ? ', in a cluster' : ''
  return `${name}: ${versionOf(info)}${cluster}, maxmemory-policy ${info.get('maxmemory_policy')}, appendonly ${sync}`
}

const ANYWAY = 'To start anyway, and lose acknowledged jobs when that happens: engine.redis.allow_data_loss.'

interface Found {
  readonly name: string
  /** The members of INFO. */
  readonly info: ReadonlyMap<string, string>
  /** Null where CONFIG is not allowed, as with some managed services. */
  readonly config: ReadonlyMap<string, string> | null
}

async function look(node: Node): Promise<Found> {
  const info = membersOf(String(await node.call('INFO')))
  return { name: node.name, info, config: await configOf(node) }
}

const SETTINGS = [
  'appendfsync',
  'no-appendfsync-on-rewrite',
  'min-replicas-to-write',
  'client-output-buffer-limit',
] as const

async function configOf(node: Node): Promise<ReadonlyMap<string, string> | null> {
  const config = new Map<string, string>()
  for (const name of SETTINGS) {
    // One name a call: Redis 6.2 takes no more
    const answer = await node.call('CONFIG', 'GET', name).catch((error: Error) => {
      if (/^(NOPERM|ERR unknown command)/i.test(error.message)) return null
      throw error
    })
    if (!Array.isArray(answer) || answer.length < 2) return null
    config.set(name, String(answer[1]))
  }
  return config
}

/** "name:value" lines; others are left out. */
function membersOf(text: string): ReadonlyMap<string, string> {
  const members = new Map<string, string>()
  for (const line of text.split('\r\n')) {
    const at = line.indexOf(':')
    if (at > 0 && !line.startsWith('#')) members.set(line.slice(0, at), line.slice(at + 1))
  }
  return members
}

const versionOf = (info: Found['info']): string => {
  const valkey = info.get('valkey_version')
  return valkey === undefined ? `Redis ${info.get('redis_version') ?? '?'}` : `Valkey ${valkey}`
}

/** Without these nothing works: no option helps. */
function mustServe({ name, info }: Found, { cluster }: Demands): void {
  const refuse = (message: string): never => {
    throw new SluiceError('config_invalid', { message: `${name}: ${message}` })
  }
  const [product, version] = versionOf(info).split(' ')
  const oldest = product === 'Valkey' ? OLDEST_VALKEY : cluster ? OLDEST.cluster : OLDEST.alone
  if (isOlder(version, oldest))
    refuse(
      `This is ${product} ${version}. Sluice needs ${oldest} or newer${cluster ? ' in a cluster' : ''}: update it.`,
    )
  if (info.get('role') === 'slave')
    refuse('This is a replica, which takes no writes: give the address of its primary, or one that follows it.')
  const isCluster = info.get('cluster_enabled') === '1'
  if (isCluster && !cluster) refuse('This is a node of a cluster: name others of its nodes in engine.redis.nodes.')
  if (!isCluster && cluster) refuse('This is no node of a cluster: leave out engine.redis.nodes.')
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number))
  for (let i = 0; i < b.length; i++) if (a[i] !== b[i]) return !(a[i] > b[i])
  return false
}

/** It serves; but something would be better. */
function adviceOf({ info, config }: Found, durability: Durability): readonly string[] {
  const advice: string[] = []
  if (info.get('maxmemory') === '0')
    advice.push(
      'maxmemory is 0, no limit: Sluice cannot refuse new work in time, and the machine may kill Redis when its ' +
        'memory is full. Set "maxmemory" to less than the machine has.',
    )
  const hasReplicas = Number(info.get('connected_slaves')) > 0
  if (durability !== 'memory' && hasReplicas && config?.get('min-replicas-to-write') === '0')
    advice.push(
      'It has replicas, and goes on alone where it is cut off from them: what it then confirms is lost when one of ' +
        'them takes over. Set "min-replicas-to-write 1" and "min-replicas-max-lag 10".',
    )
  if (/\bpubsub 0 0 /.test(config?.get('client-output-buffer-limit') ?? ''))
    advice.push(
      'client-output-buffer-limit has no limit for pubsub: a slow process may take all of its memory. ' +
        'Set "client-output-buffer-limit pubsub 32mb 8mb 60".',
    )
  return advice
}

/** Each says what is lost when, and what to set. */
function lossesOf({ info, config }: Found, durability: Durability): readonly string[] {
  const losses: string[] = []
  const policy = info.get('maxmemory_policy')
  if (policy !== 'noeviction')
    losses.push(
      `maxmemory-policy is ${policy ?? 'unknown'}: Redis may delete jobs when its memory is full. ` +
        'Set "maxmemory-policy noeviction": new work is then refused until there is room.',
    )
  if (durability === 'memory') return losses
  if (info.get('aof_enabled') !== '1') {
    const sync = durability === 'power' ? 'always' : 'everysec'
    losses.push(
      'appendonly is off: what was stored since its last snapshot is lost with the process. ' +
        `Set "appendonly yes" and "appendfsync ${sync}".`,
    )
    return losses
  }
  if (durability === 'process') return losses
  const appendfsync = config?.get('appendfsync')
  if (config === null)
    losses.push(
      'CONFIG GET is not allowed here, so nobody knows whether writes are synced before they are confirmed: ' +
        'allow it, or set "durability: process".',
    )
  else if (appendfsync !== 'always')
    losses.push(
      `appendfsync is ${appendfsync}: what was acknowledged last is lost when Redis or its machine dies. ` +
        'Set "appendfsync always", or "durability: process".',
    )
  else if (config.get('no-appendfsync-on-rewrite') === 'yes')
    losses.push(
      'no-appendfsync-on-rewrite is yes: nothing is synced while the append-only file is rewritten. ' +
        'Set "no-appendfsync-on-rewrite no".',
    )
  return losses
}
