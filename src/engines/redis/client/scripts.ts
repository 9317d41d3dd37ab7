/** The Lua scripts, one a verb, each a round trip. They are sent once, and then called by their digest. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Argument, Connection, Script } from './connection.ts'

export type { Argument } from './connection.ts'

const known = new Map<string, Script>()

/**
 * `sharded`: messages are published with SPUBLISH. A script's first key is its shard's name. Its lines "-- include x"
 * put the functions of x.lua before it.
 */
function load(name: string, sharded: boolean): Script {
  const key = `${name} ${sharded}`
  const there = known.get(key)
  if (there !== undefined) return there
  const read = (file: string): string => readFileSync(new URL(`../lua/${file}.lua`, import.meta.url), 'utf8')
  const verb = sharded ? 'SPUBLISH' : 'PUBLISH'
  const count = sharded ? 'SHARDNUMSUB' : 'NUMSUB'
  const included = [...read(name).matchAll(/^-- include (\S+)$/gm)].map(([, file]) => read(file))
  const lua = `local PUBLISH, NUMSUB = '${verb}', '${count}'\n${[read('prelude'), ...included, read(name)].join('')}`
  const script = { name, lua, sha: createHash('sha1').update(lua).digest('hex') }
  known.set(key, script)
  return script
}

export class Scripts {
  readonly #connection: Connection
  readonly #shard: string

  constructor(connection: Connection, shard: string) {
    this.#connection = connection
    this.#shard = shard
  }

  /** What the script returns, texts as UTF-8. Rejects with what Redis or its client throws: see errors.ts. */
  run(name: string, args: readonly Argument[]): Promise<unknown> {
    return this.#connection.evaluate(load(name, this.#connection.sharded), [this.#shard, ...args])
  }

  /** As `run`, texts as bytes. */
  runBuffer(name: string, args: readonly Argument[]): Promise<unknown> {
    return this.#connection.evaluateBuffer(load(name, this.#connection.sharded), [this.#shard, ...args])
  }
}
