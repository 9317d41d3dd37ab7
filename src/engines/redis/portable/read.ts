/** What a shard at rest holds, in the words of no store. */
import type { AuditEntry } from '../../../core/ports/audit.ts'
import type { ApiKey } from '../../../core/ports/keys.ts'
import type { Selector } from '../../../core/ports/operations.ts'
import type { Item, Source } from '../../../core/ports/portable.ts'
import type { TenantRecord } from '../../../core/ports/tenants.ts'
import type { DocumentHead } from '../../shared/documents.ts'
import { intakeSecretOf, secretBytes, secretText } from '../../shared/intake-secret.ts'
import { FIRST_EPOCH } from '../../shared/portable/epochs.ts'
import { FILE_BYTES } from '../../shared/portable/file-bytes.ts'
import {
  AUDIT,
  CONVERSATIONS,
  COUNTERS,
  type Counters,
  DOCUMENTS,
  DOCUMENTS_IN_ORDER,
  ENDED,
  EPOCHS,
  type Epoch,
  INTAKE,
  KEYS,
  LEVELS,
  PAUSES,
  type StoredIntake,
  type StoredKey,
  TENANTS,
  TURNS,
  USAGE,
  USAGE_SUMS,
  WAITING,
  WINDOWS,
} from '../../shared/portable/kinds.ts'
import { parse } from '../../shared/shape.ts'
import { readRecord } from '../../shared/tenant-records.ts'
import { readDocument } from '../protocol/documents.ts'
import { fileBytesOf } from './file-bytes.ts'
import type { Shard } from './hold.ts'
import { conversationItems, turnsOf } from './read-conversations.ts'
import { endedOf, waitingOf } from './read-jobs.ts'
import { asked, byText, type Damaged, plain } from './reading.ts'
import { levelsOf, recordsOf, sumsOf, windowsOf } from './usage.ts'

const DOCUMENTS_AT_ONCE = 100

/** `keepsTorn`: documents of files whose bytes are not there are read all the same. */
export function sourcesOf(shard: Shard, damaged: Damaged, keepsTorn = false): readonly Source[] {
  const torn = new Set<string>()
  return [
    { kind: COUNTERS, read: () => countersOf(shard) },
    { kind: EPOCHS, read: () => epochsOf(shard) },
    { kind: INTAKE, read: () => intakeOf(shard) },
    { kind: KEYS, read: () => keysOf(shard, damaged) },
    { kind: TENANTS, read: () => tenantsOf(shard, damaged) },
    { kind: AUDIT, read: () => auditOf(shard, damaged) },
    { kind: FILE_BYTES, read: () => fileBytesOf(shard, torn, damaged) },
    { kind: DOCUMENTS, read: () => documentsOf(shard, damaged, keepsTorn ? NONE : torn) },
    { kind: PAUSES, read: () => pausesOf(shard) },
    { kind: WINDOWS, read: () => windowsOf(shard) },
    { kind: LEVELS, read: () => levelsOf(shard, damaged) },
    { kind: USAGE_SUMS, read: () => sumsOf(shard) },
    { kind: USAGE, read: () => recordsOf(shard) },
    { kind: CONVERSATIONS, read: () => conversationItems(shard) },
    { kind: TURNS, read: () => turnsOf(shard, damaged) },
    { kind: ENDED, read: () => endedOf(shard, damaged) },
    { kind: WAITING, read: () => waitingOf(shard, damaged) },
  ] satisfies Source[]
}

async function* countersOf(shard: Shard): AsyncGenerator<Item<Counters>> {
  const { names } = shard
  const [orders, seq] = await asked(shard, ({ connection }) => connection.client.mget(names.orders(), names.seq()))
  yield plain({ orders: Number(orders ?? 0), seq: Number(seq ?? 0) })
}

async function* epochsOf(shard: Shard): AsyncGenerator<Item<Epoch>> {
  const stored = await asked(shard, ({ connection, names }) => connection.client.lrange(names.epochs(), 0, -1))
  for (const each of stored.reverse()) {
    const epoch = Number.parseInt(each, 10)
    if (epoch !== FIRST_EPOCH) yield plain({ epoch })
  }
}

async function* intakeOf(shard: Shard): AsyncGenerator<Item<StoredIntake>> {
  const [stored, secret] = await asked(shard, ({ connection, names }) =>
    connection.client.mget(names.intakeSecret(), names.secret()),
  )
  if (stored !== null) yield plain({ secret: stored })
  else if (secret !== null) yield plain({ secret: secretText(intakeSecretOf(secretBytes(secret))) })
}

async function* keysOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<StoredKey>> {
  const [keys, revoked] = await asked(shard, ({ connection: { client }, names }) =>
    Promise.all([client.hgetall(names.keys()), client.hgetall(names.revokedKeys())]),
  )
  for (const digest of Object.keys(keys).sort(byText)) {
    const key = parse(keys[digest]) as ApiKey | null
    if (key === null) damaged('An API key is damaged, and is left out: make a new one.')
    else
      yield plain({
        digest,
        key: revoked[digest] === undefined ? key : { ...key, revokedAtMs: Number(revoked[digest]) },
      })
  }
}

async function* tenantsOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<TenantRecord>> {
  const stored = await asked(shard, ({ connection, names }) => connection.client.hgetall(names.tenants()))
  for (const name of Object.keys(stored).sort(byText)) {
    const record = readRecord(stored[name])
    if (record !== null) yield plain(record)
    else damaged('What was set of a tenant is damaged, and is left out: set it again.')
  }
}

async function* auditOf(shard: Shard, damaged: Damaged): AsyncGenerator<Item<AuditEntry>> {
  const stored = await asked(shard, ({ connection, names }) => connection.client.lrange(names.audit(), 0, -1))
  for (const each of stored.reverse()) {
    const entry = parse(each) as AuditEntry | null
    if (entry !== null) yield plain(entry)
    else damaged('An entry of the audit is damaged, and is left out.')
  }
}

const NONE: ReadonlySet<string> = new Set()

async function* documentsOf(
  shard: Shard,
  damaged: Damaged,
  torn: ReadonlySet<string>,
): AsyncGenerator<Item<DocumentHead>> {
  for (const kind of DOCUMENTS_IN_ORDER)
    for (let from = '-'; ; ) {
      const ids = await asked(shard, ({ connection: { client }, names }) =>
        client.zrangebylex(`${names.documents(kind)}:ids`, from, '+', 'LIMIT', 0, DOCUMENTS_AT_ONCE),
      )
      if (ids.length === 0) break
      const texts = await asked(shard, ({ connection: { client }, names }) =>
        client.hmget(names.documents(kind), ...ids),
      )
      for (const [i, id] of ids.entries()) {
        if (kind === 'file' && torn.has(id)) continue
        const stored = readDocument(kind, id, texts[i] ?? '')
        const { text, ...value } = stored ?? {
          text: '',
          kind,
          id,
          tenant: '',
          dueAtMs: null,
          expiresAtMs: null,
          version: 0,
        }
        const item = { value, blob: Buffer.from(text) }
        if (DOCUMENTS.fits(value, item.blob)) yield item
        else damaged('A document is damaged, and is left out.')
      }
      from = `(${ids.at(-1)}`
    }
}

async function* pausesOf(shard: Shard): AsyncGenerator<Item<Selector>> {
  const stored = await asked(shard, ({ connection, names }) => connection.client.smembers(names.pauses()))
  for (const each of stored.sort(byText)) {
    const selector = parse(each) as Selector | null
    if (selector !== null) yield plain(selector)
  }
}
