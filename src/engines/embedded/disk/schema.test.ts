import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { openFolder } from './schema.ts'
import { SCHEMA_1 } from './testing/schema-1.ts'

it('a folder of schema 1 is brought to the tables of today', () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-schema-'))
  try {
    const old = new DatabaseSync(join(dir, 'sluice.db'))
    old.exec(SCHEMA_1)
    const conversation = old.prepare('INSERT INTO conversations VALUES (?, ?, ?, 1, 2)')
    for (const [tenant, id] of [
      ['acme', 'c'],
      ['acme', 'empty'],
      ['other', 'ann/c'],
    ])
      conversation.run(tenant, id, null)
    const turn = old.prepare('INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?)')
    turn.run('acme', 'c', 7, 'j7', 'done', '[{"role":"system","content":"é"},{"role":"user","content":"a"}]', '{}')
    turn.run('acme', 'c', 9, 'j9', 'failed', '[]', null)
    turn.run('other', 'ann/c', 8, 'j8', 'done', '[]', null)
    old.close()

    const { db, release } = openFolder(dir)
    const rows = (sql: string): unknown[] =>
      db
        .prepare(sql)
        .all()
        .map((row) => ({ ...row }))
    expect(rows('SELECT tenant, id, last_ord, turns, bytes, first_ord FROM conversations')).toEqual([
      {
        tenant: 'acme',
        id: 'c',
        last_ord: 9,
        turns: 2,
        bytes: 64 + 2 + 2 + 2 * 256,
        first_ord: 7,
      },
      { tenant: 'acme', id: 'empty', last_ord: 0, turns: 0, bytes: 0, first_ord: null },
      { tenant: 'other', id: 'ann/c', last_ord: 8, turns: 1, bytes: 258, first_ord: 8 },
    ])
    expect(rows('SELECT * FROM instructions')).toEqual([{ ord: 7, messages: '[{"role":"system","content":"é"}]' }])
    expect(rows('SELECT * FROM conversation_bytes')).toEqual([
      { tenant: 'acme', bytes: 580 },
      { tenant: 'other', bytes: 258 },
    ])
    const tables = "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    const found = rows(tables)
    release()
    const fresh = openFolder(null)
    expect(found).toEqual(
      fresh.db
        .prepare(tables)
        .all()
        .map((row) => ({ ...row })),
    )
    fresh.release()
  } finally {
    rmSync(dir, { recursive: true })
  }
})
