/** How folders of earlier versions become one of this version. Each step runs once, in the transaction of the start. */
import type { DatabaseSync } from 'node:sqlite'
import { leadingInstructions } from './instructions.ts'

/** `MIGRATIONS[n]` takes a folder of schema n to n + 1. */
export const MIGRATIONS: Readonly<Record<number, (db: DatabaseSync) => void>> = { 1: toSchema2 }

/** 2: conversations know their size, their newest turn and the instructions that they began with. */
function toSchema2(db: DatabaseSync): void {
  db.function('leading_instructions', (messages) => leadingInstructions(String(messages)))
  db.exec(`
CREATE TABLE conversations_2 (
  tenant TEXT, id TEXT, name TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, last_ord INTEGER NOT NULL,
  turns INTEGER NOT NULL, bytes INTEGER NOT NULL, instructions TEXT, first_ord INTEGER,
  PRIMARY KEY (tenant, id)) WITHOUT ROWID;
INSERT INTO conversations_2
  SELECT c.tenant, c.id, c.name, c.created_at, c.updated_at, ifnull(max(t.ord), 0), count(t.ord),
    ifnull(sum(octet_length(t.messages) + ifnull(octet_length(t.answer), 0) + 256), 0),
    (SELECT leading_instructions(messages) FROM turns f
      WHERE f.tenant = c.tenant AND f.conversation = c.id ORDER BY f.ord LIMIT 1),
    min(t.ord)
  FROM conversations c LEFT JOIN turns t ON t.tenant = c.tenant AND t.conversation = c.id GROUP BY c.tenant, c.id;
DROP TABLE conversations;
ALTER TABLE conversations_2 RENAME TO conversations;
CREATE INDEX conversations_newest ON conversations (tenant, last_ord, id);
CREATE INDEX conversations_scoped ON conversations (tenant, substr(id, 1, instr(id, '/')), last_ord, id)
  WHERE instr(id, '/') > 0;
CREATE TABLE conversation_bytes (tenant TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO conversation_bytes SELECT tenant, sum(bytes) FROM conversations GROUP BY tenant;
`)
}
