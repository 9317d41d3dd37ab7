/** What the engine's parts ask of a connection to a simulated Redis. */
import type { Argument, Script } from '../../../src/engines/redis/client/connection.ts'
import { SimLink } from './link.ts'
import { bytesOf, type Reply } from './model.ts'

export class SimConnection extends SimLink {
  readonly sharded = false
  readonly client = this

  async #call(name: string, args: readonly Argument[]): Promise<Reply> {
    const call = { name, args: args.map(bytesOf) }
    this.network.server.observer?.sent(call)
    return (await this.send((reply) => reply(this.network.server.call(call)))) as Reply
  }

  evaluate({ name }: Script, args: readonly Argument[]): Promise<unknown> {
    return this.#call(name, args)
  }

  async evaluateBuffer({ name }: Script, args: readonly Argument[]): Promise<unknown> {
    return buffersOf(await this.#call(name, args))
  }

  xadd(key: string, _id: string, _field: string, text: string): Promise<unknown> {
    return this.#call('xadd', [key, text])
  }

  mget(...keys: readonly string[]): Promise<unknown> {
    return this.#call('mget', keys)
  }

  hmget(key: string, ...fields: readonly string[]): Promise<unknown> {
    return this.#call('hmget', [key, ...fields])
  }

  async mgetBuffer(...keys: readonly string[]): Promise<unknown> {
    return buffersOf(await this.#call('mget', keys))
  }

  smembers(key: string): Promise<unknown> {
    return this.#call('smembers', [key])
  }

  incrby(key: string, by: number): Promise<unknown> {
    return this.#call('incrby', [key, by])
  }

  unlink(keys: readonly string[]): Promise<unknown> {
    return this.#call('unlink', keys)
  }

  /** All in one page. */
  async hscan(key: string): Promise<unknown> {
    return ['0', await this.#call('hgetall', [key])]
  }

  xread(...args: readonly unknown[]): Promise<unknown> {
    const [, , , blockMs, , key, after] = args as [string, number, string, number, string, string, string]
    return this.send((reply) =>
      this.network.server.readStream(key, after, blockMs, (entries) =>
        reply(
          entries.length === 0
            ? null
            : [[key, entries.map(([id, texts]) => [id, texts.flatMap((text) => ['c', text])])]],
        ),
      ),
    )
  }

  async publish(channel: string, message: string): Promise<unknown> {
    return this.send((reply) => reply(this.network.server.publish(channel, bytesOf(Buffer.from(message)))))
  }

  ping(): void {
    if (!this.away) this.send((reply) => reply('PONG')).catch(() => {})
  }
}

const buffersOf = (reply: Reply): unknown =>
  typeof reply === 'string'
    ? Buffer.from(reply, 'latin1')
    : Array.isArray(reply)
      ? reply.map((each) => buffersOf(each as Reply))
      : reply
