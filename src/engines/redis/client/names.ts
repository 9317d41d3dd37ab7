/**
 * Every key and channel of a shard. All share one hash tag, so that a script reaches all of a shard in Redis Cluster.
 * The scripts build the same names from the shard's own (lua/prelude.lua); what users named comes last in a name, or
 * after its length.
 */
export class Names {
  /** What all names begin with: the first key of each script. */
  readonly shard: string

  /** `prefix` has no braces: the hash tag is the shard's. */
  constructor(prefix = '', shard = 0) {
    this.shard = `${prefix}{s${shard}}`
  }

  // ------------------------------------------------------------ the coordinator

  /** The acting coordinator's id; expires. */
  owner = (): string => `${this.shard}:owner`
  /** "<term>:<commit number>", the fence of commits. */
  fence = (): string => `${this.shard}:fence`
  /** Raised by each takeover. */
  term = (): string => `${this.shard}:term`
  /** List: "<epoch> <run_id of the server>", newest first: a log's epochs (lua/log.lua). */
  epochs = (): string => `${this.shard}:epochs`
  /** The last `seq` that the coordinator gave. */
  seq = (): string => `${this.shard}:seq`
  /** Stream of commands. */
  inbox = (): string => `${this.shard}:inbox`
  /** Hash: job id → LiveRow, of all that have not ended. */
  live = (): string => `${this.shard}:live`
  /** Hash: job id → RunRow; its beginning, "<attempt> <process>.", is the fence of appends. */
  run = (): string => `${this.shard}:run`
  /** Hash: job id → processes that follow it, separated by spaces. */
  followers = (): string => `${this.shard}:fol`
  /** Hash: job id → ms from its acceptance to its answer's first text. */
  ttft = (): string => `${this.shard}:ttft`
  /** Set: processes that drain. */
  draining = (): string => `${this.shard}:drain`
  /** Set: selectors, JSON. */
  pauses = (): string => `${this.shard}:pauses`
  /** Hash: "[<kind>,<owner>,<name>]" → what that level of the limits has used: see protocol/levels.ts. */
  levels = (): string => `${this.shard}:lim`
  /** Order numbers of job ids, drawn in blocks. */
  orders = (): string => `${this.shard}:orders`

  /** There while the shard is being filled by `sluice migrate` or `sluice restore`: nobody may use it. */
  filling = (): string => `${this.shard}:filling`

  /** Of what is stored: see protocol/version.ts. Absent: 1. */
  layout = (): string => `${this.shard}:layout`
  /** Numbers of processes and hosts. */
  members = (): string => `${this.shard}:members`

  // ------------------------------------------------------------ a job

  /** Stream: ids of jobs whose requests were stored a short while ago; those that were never taken are removed. */
  sent = (): string => `${this.shard}:sent`
  /** The request's bytes. */
  body = (id: string): string => `${this.shard}:b:${id}`
  /** List: the chunks of its token log. */
  log = (id: string): string => `${this.shard}:l:${id}`
  /** The row of a job that ended: EndedRow. */
  row = (id: string): string => `${this.shard}:r:${id}`
  /** The assistant's message of an attempt, until its end is committed. */
  answer = (id: string, attempt: number): string => `${this.shard}:a:${id}.${attempt}`
  /** ZSET: ids of ended jobs by seq; of a tenant, or of all. */
  jobs = (tenant?: string): string => `${this.shard}:jobs${tenant === undefined ? '' : `:${tenant}`}`
  /** Of these, those that are not done. */
  bad = (tenant?: string): string => `${this.shard}:bad${tenant === undefined ? '' : `:${tenant}`}`
  /** ZSET: ids of a run's jobs by seq, also of those that live; expires long after its last one. */
  runJobs = (tenant: string, run: string): string => `${this.shard}:${runKey(tenant, run)}`
  /** List: what is to be written to these indexes, by whoever reads or changes one: see lua/jobs.lua. */
  unfiled = (): string => `${this.shard}:unfiled`
  /** ZSET: "<id>:<bytes>" of a tenant's ended jobs by the time of their end. */
  ends = (tenant: string): string => `${this.shard}:ends:${tenant}`
  /** Hash: tenant → bytes of its ended jobs. */
  bytes = (): string => `${this.shard}:bytes`
  /** ZSET: ids of ended jobs of which nothing is kept, by the time at which they go unless somebody reads. */
  /** By jobs that have not ended: what they come after. */
  after = (): string => `${this.shard}:after`
  leaving = (): string => `${this.shard}:leaving`
  /** "<id> <hash of body and user>": the job of an idempotency key. */
  key = (tenant: string, key: string): string => `${this.shard}:k:${tenant.length}:${tenant}:${key}`
  /** "<id> <endedAtMs>": a job that ended well a short while ago, by its join key's digest (J4); of layout 1. */
  joinable = (digest: string): string => `${this.shard}:j:${digest}`
  /** Hash: digest → the same, of those that ended in one window of time. */
  joined = (window: number): string => `${this.shard}:jw:${window}`

  // ------------------------------------------------------------ usage (protocol/usage.ts, lua/used.lua)

  /** Stream: an entry for each commit and tenant; its field is the tenant, its value the records. */
  usageRecords = (): string => `${this.shard}:use:log`
  /** ZSET in the order of their names: days of which there are sums. */
  usageDays = (): string => `${this.shard}:use:days`
  /** Hash: group → sums of one day. */
  usageSums = (day: string): string => `${this.shard}:use:${day}`
  /** ZSET in the order of their names: its groups. */
  usageGroups = (day: string): string => `${this.shard}:use:${day}:g`

  // ------------------------------------------------------------ keys and tickets

  /** Hash: an API key's digest → ApiKey. */
  keys = (): string => `${this.shard}:keys`
  /** Hash: an API key's digest → when it was revoked. */
  revokedKeys = (): string => `${this.shard}:keys:revoked`
  /** Raised with each change of a key; told on the channel of the same name. */
  usedKeys = (): string => `${this.shard}:keys:used`
  keysVersion = (): string => `${this.shard}:keys:n`
  /** Hash: "<kind> <id>" → TenantRecord; its version, as of the keys; a list of AuditEntry, the newest first. */
  tenants = (): string => `${this.shard}:tenants`
  tenantsVersion = (): string => `${this.shard}:tenants:n`
  audit = (): string => `${this.shard}:audit`
  /** Hash: a document's id → what is stored of it (lua/documents.lua); its indexes begin with the same name. */
  documents = (kind: string): string => `${this.shard}:doc:${kind}`
  /** Bytes of a file, one segment (lua/documents.lua). */
  fileBytes = (id: string, segment: number): string => `${this.shard}:file:${id}:${segment}`
  /** What signs session tokens. */
  secret = (): string => `${this.shard}:secret`
  intakeSecret = (): string => `${this.shard}:secret:intake`
  /** Hash: process → NodeEntry, of those that have not left (peers.ts); and since when nothing of one is there. */
  nodes = (): string => `${this.shard}:nodes`
  /** Hash: a ticket's digest → Session. */
  tickets = (): string => `${this.shard}:tickets`
  /** Hash: the digest of a page's cookie → "<role> <end>"; beside it, one of codes (lua/sign-ins.lua). */
  signIns = (): string => `${this.shard}:signin`

  // ------------------------------------------------------------ conversations (their keys: lua/conversations.lua)

  /** Hash: tenant → bytes of its conversations, of those that have any. */
  conversationBytes = (): string => `${this.shard}:cb`
  /** Set: "<bytes of the tenant's name>:<tenant>:<id>", of conversations that grew since the last sweep. */
  grownConversations = (): string => `${this.shard}:cg`
  /** One of its keys: c, ct, cm, cj or cx. */
  conversation = (kind: string, tenant: string, id: string): string =>
    `${this.shard}:${kind}:${Buffer.byteLength(tenant)}:${tenant}:${id}`
  /** Channel: its news. */
  conversationNews = (tenant: string, id: string): string =>
    `${this.shard}:cn:${Buffer.byteLength(tenant)}:${tenant}:${id}`

  // ------------------------------------------------------------ channels

  /** To a process: the coordinator's messages. */
  process = (process: string): string => `${this.shard}:p:${process}`
  /** A pattern of these channels. */
  processes = (): string => `${this.process('').replace(/[*?[\]\\]/g, '\\$&')}*`
  /** To every process: questions (peers.ts); to one: their answers. */
  questions = (): string => `${this.shard}:ask`
  answers = (process: string): string => `${this.shard}:ans:${process}`
  /** To a process: what logs that it follows bring. */
  tail = (process: string): string => `${this.shard}:t:${process}`
  /** To the coordinator: heartbeats and charges; may be lost. */
  beats = (): string => `${this.shard}:in`
  /** To the coordinator: queries; asked again where no answer comes. */
  queries = (): string => `${this.shard}:q`
  /** To every process: who coordinates. */
  control = (): string => `${this.shard}:ctl`
  /** A candidate's sign of life: it listens here. */
  host = (host: string): string => `${this.shard}:h:${host}`
}

/** What follows the shard's name. */
export const runKey = (tenant: string, run: string): string => `jr:${tenant.length}:${tenant}:${run}`
/** Longer than a run is kept after its last job. */
export const RUN_JOBS_MS = 60 * 86_400_000
