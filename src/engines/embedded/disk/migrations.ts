/** How folders of earlier versions become one of this version. Each step runs once, in the transaction of the start. */
import type { DatabaseSync } from 'node:sqlite'
import { leadingInstructions } from '../../shared/messages.ts'

const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"

/** `MIGRATIONS[n]` takes a folder of schema n to n + 1. */
export const MIGRATIONS: Readonly<Record<number, (db: DatabaseSync) => void>> = {
  1: toSchema2,
  2: toSchema3,
  3: toSchema4,
  4: toSchema5,
  5: toSchema6,
  6: toSchema7,
  7: toSchema8,
}

/** A table that came with schema 8. */
export const RUN_JOBS = `
-- Jobs of agents' runs, so that one reads a run without its tenant's other jobs.
CREATE TABLE run_jobs (ord INTEGER PRIMARY KEY, tenant TEXT NOT NULL, run TEXT NOT NULL);
CREATE INDEX run_jobs_of ON run_jobs (tenant, run, ord);
`

/** Tables that came with schema 7. */
export const DOCUMENTS = `
-- Batches, files, webhooks: see core/ports/documents.ts. Times are the wall clock's.
CREATE TABLE documents (
  kind TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL,
  body TEXT NOT NULL, -- JSON
  due_at INTEGER, expires_at INTEGER, version INTEGER NOT NULL,
  PRIMARY KEY (kind, id));
CREATE INDEX documents_of ON documents (tenant, kind, id);
CREATE INDEX documents_due ON documents (kind, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX documents_expire ON documents (expires_at) WHERE expires_at IS NOT NULL;
`

/** Tables that came with schema 6. */
export const LIMITS_AND_USAGE = `
-- What was used of limits, without what is held: LevelState in core/limits.ts. No row: nothing.
CREATE TABLE levels (
  kind TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL,
  age INTEGER NOT NULL, -- when \`used\` was right
  used TEXT NOT NULL, -- JSON: rates and spent
  PRIMARY KEY (kind, owner, name)) WITHOUT ROWID;

-- A record for each attempt at a provider, in the order of their commits; sums of them, which are kept for longer.
CREATE TABLE usage (
  n INTEGER PRIMARY KEY,
  at INTEGER NOT NULL, -- wall clock
  age INTEGER NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL,
  user TEXT, -- null: none
  model TEXT NOT NULL,
  facts TEXT NOT NULL); -- JSON: what else there is of a UsageRecord
-- Where records of another day (UTC) begin. An index would cost each commit a page.
CREATE TABLE usage_runs (n INTEGER PRIMARY KEY, day TEXT NOT NULL);
CREATE TABLE usage_sums (
  day TEXT NOT NULL, tenant TEXT NOT NULL, key TEXT NOT NULL,
  user TEXT NOT NULL, -- empty: none; else "u" and the name
  model TEXT NOT NULL,
  attempts INTEGER NOT NULL, repeats INTEGER NOT NULL, estimated INTEGER NOT NULL, unpriced INTEGER NOT NULL,
  prompt INTEGER NOT NULL, cached INTEGER NOT NULL, completion INTEGER NOT NULL, reasoning INTEGER NOT NULL,
  nano_dollars INTEGER NOT NULL,
  PRIMARY KEY (day, tenant, key, user, model)) WITHOUT ROWID;

CREATE TABLE tenants (id TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID;
-- What operators have changed, the last of it.
CREATE TABLE audit (n INTEGER PRIMARY KEY, facts TEXT NOT NULL);
`

/** 8: jobs of runs are found by their run. */
function toSchema8(db: DatabaseSync): void {
  db.exec(`${RUN_JOBS}
    INSERT INTO run_jobs SELECT ord, tenant, json_extract(facts, '$.run') FROM jobs
      WHERE instr(facts, '"run":') > 0 AND json_valid(facts) AND json_type(facts, '$.run') = 'text'`)
}

/** 7: documents. */
function toSchema7(db: DatabaseSync): void {
  db.exec(DOCUMENTS)
}

/** 6: what is used of limits, and what it cost. */
function toSchema6(db: DatabaseSync): void {
  db.exec(`ALTER TABLE unfinished ADD COLUMN reservation TEXT;
    ALTER TABLE unfinished ADD COLUMN unbooked TEXT;
    ${LIMITS_AND_USAGE}`)
}

/** 5: jobs of another engine keep their ids. */
function toSchema5(db: DatabaseSync): void {
  db.exec(`CREATE TABLE moved (ord INTEGER PRIMARY KEY, id_ord INTEGER NOT NULL);
    CREATE INDEX moved_by_id ON moved (id_ord)`)
}

/** 4: jobs in line remember how long their attempts ran. */
function toSchema4(db: DatabaseSync): void {
  db.exec('ALTER TABLE unfinished ADD COLUMN ran INTEGER NOT NULL DEFAULT 0')
}

/** 3: jobs in line remember where they failed, and when they first showed text. */
function toSchema3(db: DatabaseSync): void {
  db.exec('ALTER TABLE unfinished ADD COLUMN ttft INTEGER; ALTER TABLE unfinished ADD COLUMN failed_at TEXT')
}

/** 2: three changes of one release. */
function toSchema2(db: DatabaseSync): void {
  orderAndAges(db)
  sizesOfConversations(db)
  checksumsAndEpochs(db) // last: it drops the table of boots
}

/**
 * Order numbers come from a counter, and times are ages (age.ts) instead of the wall clock's; job options are called
 * options; failed attempts are told from lost ones. The age begins at 0, so that what was there has negative ones.
 * The wall clock is believed this once, but not for deadlines: a job in line has all of its time again, less the
 * delay that it sat out.
 */
function orderAndAges(db: DatabaseSync): void {
  db.exec(`
CREATE TABLE jobs_2 (
  ord INTEGER PRIMARY KEY, id TEXT NOT NULL, tenant TEXT NOT NULL, idem TEXT, model TEXT NOT NULL, lane TEXT,
  conversation TEXT, accepted_age INTEGER NOT NULL, facts TEXT NOT NULL, body BLOB NOT NULL);
INSERT INTO jobs_2 SELECT j.ord, j.id, j.tenant, j.idem, j.model, j.lane, j.conversation,
    -max(0, CASE WHEN u.ord IS NULL THEN ${NOW} - json_extract(j.facts, '$.acceptedAtMs')
      ELSE min(${NOW} - json_extract(j.facts, '$.acceptedAtMs'),
        ifnull(json_extract(j.facts, '$.wishes.delayMs'), 0)) END),
    CASE WHEN json_type(j.facts, '$.wishes') IS NULL THEN j.facts
      ELSE json_remove(json_set(j.facts, '$.options', json_extract(j.facts, '$.wishes')), '$.wishes') END,
    j.body
  FROM jobs j LEFT JOIN unfinished u ON u.ord = j.ord ORDER BY j.ord;
DROP TABLE jobs;
ALTER TABLE jobs_2 RENAME TO jobs;
CREATE UNIQUE INDEX jobs_idem ON jobs (tenant, idem) WHERE idem IS NOT NULL;
CREATE INDEX jobs_tenant ON jobs (tenant);

ALTER TABLE results ADD COLUMN ended_age INTEGER NOT NULL DEFAULT 0;
UPDATE results SET ended_age = -max(0, ${NOW} - ended_at);

CREATE TABLE unfinished_2 (
  ord INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, fails INTEGER NOT NULL, deaths INTEGER NOT NULL,
  crashes INTEGER NOT NULL, not_before_age INTEGER NOT NULL);
INSERT INTO unfinished_2 SELECT ord, attempts, max(0, attempts - crashes), crashes, crashes, 0 FROM unfinished;
DROP TABLE unfinished;
ALTER TABLE unfinished_2 RENAME TO unfinished;

INSERT OR REPLACE INTO meta SELECT 'orders', CAST(max(ord) AS TEXT) FROM (
  SELECT max(ord) AS ord FROM jobs UNION ALL SELECT max(ord) FROM results UNION ALL SELECT max(ord) FROM turns
  UNION ALL SELECT max(ord) FROM boots) WHERE ord IS NOT NULL HAVING max(ord) IS NOT NULL;
`)
}

/**
 * Turns are found without reading others; conversations know their size, their newest turn, their age and the
 * instructions that they began with.
 */
function sizesOfConversations(db: DatabaseSync): void {
  db.function('leading_instructions', (messages) => leadingInstructions(String(messages)))
  db.exec(`
CREATE TABLE turns_2 (
  ord INTEGER PRIMARY KEY, tenant TEXT NOT NULL, conversation TEXT NOT NULL, job TEXT NOT NULL, state TEXT NOT NULL,
  bytes INTEGER NOT NULL, messages TEXT NOT NULL, answer TEXT);
INSERT INTO turns_2 SELECT ord, tenant, conversation, job, state,
  octet_length(messages) + ifnull(octet_length(answer), 0) + 256, messages, answer FROM turns;
DROP TABLE turns;
ALTER TABLE turns_2 RENAME TO turns;
CREATE INDEX turns_of ON turns (tenant, conversation, ord, bytes);
CREATE TABLE conversations_2 (
  tenant TEXT, id TEXT, name TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, last_ord INTEGER NOT NULL,
  updated_age INTEGER NOT NULL, turns INTEGER NOT NULL, bytes INTEGER NOT NULL, first_ord INTEGER,
  PRIMARY KEY (tenant, id)) WITHOUT ROWID;
INSERT INTO conversations_2
  SELECT c.tenant, c.id, c.name, c.created_at, c.updated_at, ifnull(max(t.ord), 0),
    -max(0, ${NOW} - c.updated_at), count(t.ord),
    ifnull(sum(t.bytes), 0), min(t.ord)
  FROM conversations c LEFT JOIN turns t ON t.tenant = c.tenant AND t.conversation = c.id GROUP BY c.tenant, c.id;
DROP TABLE conversations;
ALTER TABLE conversations_2 RENAME TO conversations;
CREATE INDEX conversations_newest ON conversations (tenant, last_ord, id);
CREATE INDEX conversations_scoped ON conversations (tenant, substr(id, 1, instr(id, '/')), last_ord, id)
  WHERE instr(id, '/') > 0;
CREATE TABLE instructions (ord INTEGER PRIMARY KEY, messages TEXT NOT NULL);
INSERT INTO instructions SELECT t.ord, leading_instructions(t.messages)
  FROM conversations c JOIN turns t ON t.ord = c.first_ord WHERE leading_instructions(t.messages) IS NOT NULL;
CREATE TABLE conversation_bytes (tenant TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO conversation_bytes SELECT tenant, sum(bytes) FROM conversations GROUP BY tenant;
`)
}

/** Blobs get checksums, those that are there none; each start is an epoch, instead of each power loss. */
function checksumsAndEpochs(db: DatabaseSync): void {
  db.exec(`
ALTER TABLE segments ADD COLUMN checksum INTEGER;
ALTER TABLE parts ADD COLUMN epoch INTEGER NOT NULL DEFAULT 1;
ALTER TABLE parts ADD COLUMN checksum INTEGER;
ALTER TABLE results ADD COLUMN checksum INTEGER;
ALTER TABLE jobs ADD COLUMN checksum INTEGER;
CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, before INTEGER NOT NULL);
UPDATE parts SET epoch = 1 + (SELECT count(*) FROM boots b WHERE b.ord > parts.ord);
INSERT INTO epochs SELECT 1 + row_number() OVER (ORDER BY n), (SELECT max(ord) FROM boots) FROM boots;
DROP TABLE boots;
`)
}
