/** The conversations of a shard at rest, and their turns. */
import type { Item } from '../../../core/ports/portable.ts'
import type { StoredConversation, StoredTurn } from '../../shared/portable/kinds.ts'
import { readTurn } from '../conversations/turn.ts'
import type { Shard } from './hold.ts'
import { asked, byText, type Damaged, plain, ROWS_AT_ONCE } from './reading.ts'

const TURNS_AT_ONCE = 16

type ConversationRow = readonly [
  id: string,
  last: string,
  first: string | null,
  instructions: string | null,
  name: string | null,
  created: string | null,
  updated: string | null,
]

/** By tenant, the one that rests longest first. */
async function* conversationsOf(
  shard: Shard,
): AsyncGenerator<{ readonly tenant: string; readonly row: ConversationRow }> {
  const tenants = await asked(shard, ({ connection, names }) => connection.client.hkeys(names.conversationBytes()))
  for (const tenant of tenants.sort(byText))
    for (let from = 0; ; from += ROWS_AT_ONCE) {
      const rows = (await asked(shard, ({ scripts }) =>
        scripts.run('conversation-all', [tenant, from, ROWS_AT_ONCE]),
      )) as readonly ConversationRow[]
      for (const row of rows) yield { tenant, row }
      if (rows.length < ROWS_AT_ONCE) break
    }
}

export async function* conversationItems(shard: Shard): AsyncGenerator<Item<StoredConversation>> {
  for await (const { tenant, row } of conversationsOf(shard)) {
    const [id, last, first, instructions, name, created, updated] = row
    const updatedAtMs = Math.floor(Number(updated))
    yield plain({
      tenant,
      id,
      name,
      createdAtMs: Math.floor(Number(created)),
      updatedAtMs,
      idleMs: Math.max(0, shard.nowMs - updatedAtMs),
      last: Number(last),
      first: first === null ? null : Number(first),
      instructions: instructions === '' ? null : instructions,
    })
  }
}

export async function* turnsOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<StoredTurn>> {
  for await (const { tenant, row } of conversationsOf(shard)) {
    const [conversation] = row
    for (let from = 0; ; from += TURNS_AT_ONCE) {
      const found = (await asked(shard, ({ scripts }) =>
        scripts.runBuffer('conversation-raw', [tenant, conversation, from, TURNS_AT_ONCE]),
      )) as readonly Buffer[]
      for (let i = 0; i < found.length; i += 3) {
        const job = found[i].toString()
        const turn = readTurn(job, found[i + 2])
        if (turn === null) {
          damaged(`The turn of ${job} is damaged, and is left out.`)
          continue
        }
        const { state, messages, answer } = turn
        const asked = Buffer.from(messages)
        yield {
          value: {
            tenant,
            conversation,
            job,
            seq: Number(found[i + 1]),
            state,
            messages: asked.length,
            hasAnswer: answer !== null,
          },
          blob: answer === null ? asked : Buffer.concat([asked, Buffer.from(answer)]),
        }
      }
      if (found.length < 3 * TURNS_AT_ONCE) break
    }
  }
}
