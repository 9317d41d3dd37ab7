/** The tables as Sluice 0.1 made them: folders of that schema must open. */
export const SCHEMA_1 = `
CREATE TABLE jobs (
  ord INTEGER PRIMARY KEY, id TEXT NOT NULL, tenant TEXT NOT NULL, idem TEXT, model TEXT NOT NULL, lane TEXT,
  conversation TEXT,
  facts TEXT NOT NULL,
  body BLOB NOT NULL);
CREATE UNIQUE INDEX jobs_idem ON jobs (tenant, idem) WHERE idem IS NOT NULL;
CREATE INDEX jobs_tenant ON jobs (tenant);
CREATE TABLE results (
  ord INTEGER PRIMARY KEY, state TEXT NOT NULL, ended_at INTEGER NOT NULL, epoch INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  facts TEXT NOT NULL,
  records INTEGER NOT NULL, parts INTEGER NOT NULL, log BLOB NOT NULL);
CREATE INDEX results_bad ON results (ord) WHERE state <> 'done';
CREATE TABLE unfinished (
  ord INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, crashes INTEGER NOT NULL, not_before INTEGER NOT NULL);
CREATE TABLE segments (n INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE parts (
  n INTEGER PRIMARY KEY, ord INTEGER NOT NULL, segment INTEGER NOT NULL, records INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX parts_of ON parts (ord);
CREATE TABLE conversations (
  tenant TEXT, id TEXT, name TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)) WITHOUT ROWID;
CREATE TABLE turns (
  tenant TEXT, conversation TEXT, ord INTEGER, job TEXT NOT NULL, state TEXT NOT NULL, messages TEXT NOT NULL,
  answer TEXT,
  PRIMARY KEY (tenant, conversation, ord)) WITHOUT ROWID;
CREATE TABLE keys (digest TEXT PRIMARY KEY, id TEXT NOT NULL, tenant TEXT NOT NULL, facts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pauses (selector TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE boots (n INTEGER PRIMARY KEY, ord INTEGER NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;`
