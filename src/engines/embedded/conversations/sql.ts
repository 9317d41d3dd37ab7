/** The statements of conversations and their turns. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** A name up to its first "/"; as in the index. */
const SCOPE = "substr(id, 1, instr(id, '/'))"
const INFO = 'SELECT id, name, created_at AS createdAtMs, updated_at AS updatedAtMs, turns'
const OF = 'WHERE tenant = ?1 AND conversation = ?2'

export function conversationSql(db: DatabaseSync) {
  const prepare = (sql: string): StatementSync => db.prepare(sql)
  const list = (scope: string): StatementSync =>
    prepare(`${INFO}, last_ord AS lastOrd FROM conversations
      WHERE tenant = ?1 ${scope} AND (last_ord, id) < (?2, ?3) ORDER BY last_ord DESC, id DESC LIMIT ?4`)
  return {
    open: prepare(`INSERT INTO conversations VALUES (?1, ?2, NULL, ?3, ?3, ?4, ?5, 0, 0, NULL)
      ON CONFLICT (tenant, id) DO NOTHING`),
    touch: prepare(`INSERT INTO conversations VALUES (?1, ?2, NULL, ?3, ?3, ?4, ?5, 0, 0, NULL)
      ON CONFLICT (tenant, id) DO UPDATE
      SET updated_at = excluded.updated_at, updated_age = excluded.updated_age,
        last_ord = max(last_ord, excluded.last_ord)`),
    begin: prepare('UPDATE conversations SET first_ord = ?3 WHERE tenant = ?1 AND id = ?2'),
    instruct: prepare('INSERT INTO instructions VALUES (?, ?)'),
    forget: prepare(`DELETE FROM instructions
      WHERE ord = (SELECT first_ord FROM conversations WHERE tenant = ? AND id = ?)`),
    instructions: prepare(`SELECT i.messages AS messages FROM conversations c JOIN instructions i ON i.ord = c.first_ord
      WHERE c.tenant = ? AND c.id = ?`),
    insert: prepare('INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?)'),
    count: prepare('UPDATE conversations SET turns = turns + ?3, bytes = bytes + ?4 WHERE tenant = ?1 AND id = ?2'),
    countTenant: prepare(`INSERT INTO conversation_bytes VALUES (?1, ?2)
      ON CONFLICT (tenant) DO UPDATE SET bytes = bytes + excluded.bytes`),
    remove: prepare('DELETE FROM turns WHERE ord = ?'),
    get: prepare(`${INFO} FROM conversations WHERE tenant = ? AND id = ?`),
    first: prepare('SELECT first_ord FROM conversations WHERE tenant = ? AND id = ?'),
    oldest: prepare(`SELECT ord, messages FROM turns ${OF} ORDER BY ord LIMIT 1`),
    lastTurn: prepare(`SELECT job FROM turns ${OF} ORDER BY ord DESC LIMIT 1`),
    nth: prepare(`SELECT ord, 0 AS bytes FROM turns ${OF} ORDER BY ord LIMIT 1 OFFSET ?3`),
    size: prepare(`SELECT ord, bytes FROM turns ${OF} AND ord = ?3`),
    sizes: prepare(`SELECT ord, bytes FROM turns ${OF} AND ord > ?3 ORDER BY ord LIMIT ?4`),
    sizesBack: prepare(`SELECT ord, bytes FROM turns ${OF} AND ord < ?3 ORDER BY ord DESC LIMIT ?4`),
    turn: prepare('SELECT job, state, messages, answer FROM turns WHERE ord = ?'),
    list: list(''),
    listScoped: list(`AND instr(id, '/') > 0 AND ${SCOPE} = ?5`),
    rename: prepare('UPDATE conversations SET name = ?3 WHERE tenant = ?1 AND id = ?2'),
    delete: prepare('DELETE FROM conversations WHERE tenant = ? AND id = ?'),
    forgetTenant: prepare('DELETE FROM conversation_bytes WHERE tenant = ?'),
    isStored: prepare('SELECT 1 FROM jobs WHERE ord = ?'),
  }
}
