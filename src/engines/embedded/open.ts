/** The embedded engine: one process, one data folder, node:sqlite. */
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Clock, Wheel } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Emit } from '../../core/facts.ts'
import type { Ids } from '../../core/ids.ts'
import type { Job, TenantId } from '../../core/job.ts'
import { gauge } from '../../core/numbers.ts'
import type { Coordinator } from '../../core/ports/coordinator.ts'
import type { Boot, Engine } from '../../core/ports/engine.ts'
import type { FileCaps } from '../../core/ports/files.ts'
import type { Durability } from '../shared/durability.ts'
import { DocumentFiles, FILE_CAPS } from '../shared/files.ts'
import { laneNames } from '../shared/scheduled.ts'
import { DiskBlobs, MemoryBlobs } from './blobs.ts'
import { ConversationStore } from './conversations/conversations.ts'
import { Age } from './disk/age.ts'
import { type OpenDisk, openDisk } from './disk/disk.ts'
import { whyRefused } from './disk/faults.ts'
import { explained, walOf } from './disk/folder.ts'
import type { Loss } from './disk/mark.ts'
import { positionsIn } from './disk/positions.ts'
import { openFolder } from './disk/schema.ts'
import { Store } from './disk/store.ts'
import { Dispatch } from './dispatch.ts'
import { DocumentStore } from './documents.ts'
import { Intake } from './intake.ts'
import { keepIntakeSecret } from './intake-secret.ts'
import { Jobs } from './jobs/jobs.ts'
import { type LiveJob, LiveJobs } from './jobs/live-job.ts'
import { Orders } from './jobs/orders.ts'
import { KeyStore } from './keys.ts'
import { Epochs } from './log/epochs.ts'
import { Logs } from './log/log.ts'
import type { Parts } from './parts.ts'
import { Pauses } from './pauses.ts'
import { alone } from './peers.ts'
import { Snapshots } from './portable/snapshot.ts'
import { EmbeddedPresence } from './presence.ts'
import { EmbeddedQueue } from './queue.ts'
import { markDraining, moveSegments, recentlyDone, restoreJobs } from './recovery.ts'
import { ConversationLimits } from './retention/conversations.ts'
import { Retention, type RetentionOptions, usedBytes } from './retention/retention.ts'
import { EmbeddedSignIns } from './sign-ins.ts'
import { AuditStore, TenantStore } from './tenants.ts'
import { EmbeddedTickets } from './tickets.ts'
import { Bookings } from './usage/booking.ts'
import { UsageRows } from './usage/ledger.ts'
import { LevelRows } from './usage/levels.ts'
import { UsageRetention } from './usage/retention.ts'

export interface EmbeddedOptions {
  /** The data folder; made when absent. Not looked at with `memory`. */
  readonly dir: string
  /**
   * `memory`: nothing survives the process. `process`: survives kill -9. `power`: what is acknowledged survives power
   * loss too.
   */
  readonly durability: Durability
  /** An empty one; the engine alone calls it. */
  readonly coordinator: Coordinator
  readonly clock: Clock
  readonly ids: Ids
  readonly wheel: Wheel
  readonly retention: RetentionOptions
  /** Absent: FILE_CAPS. */
  readonly files?: FileCaps
  /** How long a plain POST runs on without a reader. */
  readonly disconnectGraceMs: number
  /** How long an SDK's retry joins a job that ended well, over a restart too, ms (J4). */
  readonly joinAfterEndMs: number
  /** Under another boot, logs that had not ended get a new epoch. */
  readonly boot: Boot
  readonly onFact: Emit
}

/** Where tests reach in: a disk that forgets what was not synced, a database that is full. */
export interface Seams {
  readonly disk?: OpenDisk
  readonly opened?: (db: DatabaseSync) => void
  readonly walWarnBytes?: number
}

/**
 * Opens the store; `restore` then puts unfinished jobs back in line. Throws config_invalid when the folder is another
 * process's, or written by a newer version; what SQLite throws when it can't be read.
 */
export function openEmbedded(options: EmbeddedOptions, seams: Seams = {}): Engine {
  const { durability, coordinator, clock, ids, wheel, onFact } = options
  const { db, files, warnings, loss, release } = openFolder(durability === 'memory' ? null : options.dir)
  try {
    const store = new Store({
      db,
      durability,
      clock,
      wheel,
      emit: onFact,
      ...(files !== null && { whyRefused: (bytes: number) => whyRefused(walOf(files.path), bytes) }),
      ...(seams.walWarnBytes !== undefined && { walWarnBytes: seams.walWarnBytes }),
    })
    for (const detail of warnings) store.warn('folder_exposed', detail)
    if (loss !== null) store.warn('commits_missing', told(loss))
    const epochs = new Epochs(db, ids)
    const epochOf = (order: number): number => epochs.of(order)
    const age = new Age(db, clock, options.boot)
    const orders = new Orders(db, ids)
    const pauses = new Pauses(store)
    for (const selector of pauses.list())
      for (const each of laneNames(selector)) coordinator.pause(each, clock.monoMs())
    moveSegments(db, epochs, age, (n) => store.warn('commits_missing', damagedSegment(n)))
    const live = new LiveJobs(coordinator)
    const usage = new UsageRows(db, clock, options.retention.usageSums)
    const levels = new LevelRows(db, age, clock)
    const positions = positionsIn(db)
    const parts: Parts = {
      store,
      logs: new Logs(
        store,
        epochs,
        positions,
        (id, attempt, tokens) => dispatch.charge(id, attempt, tokens),
        (id) => intake.keep(live.get(id)!),
      ),
      jobs: new Jobs(db, positions),
      live,
      coordinator,
      levels,
      bookings: new Bookings({ store, coordinator, clock, age, levels, usage }),
      conversations: new ConversationStore(store, live, clock, age, positions, (id) => queue.eraseAnyway(id)),
      clock,
      age,
      emit: onFact,
      onEnded: (job, log) => retention.ended(job, log),
    }
    const { conversations: limits } = options.retention
    const sweeps = new ConversationLimits(store, parts.conversations, parts.live, clock, age, limits)
    const usageSweeps = new UsageRetention(store, usage, levels, clock, age, options.retention)
    const documents = new DocumentStore(store, clock)
    const blobs =
      files === null
        ? new MemoryBlobs(documents)
        : new DiskBlobs({ dir: dirname(files.path), durability, documents, clock })
    const stored = new DocumentFiles({
      documents,
      blobs,
      ids,
      wallMs: () => clock.wallMs(),
      caps: options.files ?? FILE_CAPS,
    })
    const others = { conversations: sweeps, usage: usageSweeps, documents, blobs }
    const retention = new Retention(store, parts.logs, parts.jobs, live, others, clock, age, options.retention)
    const dispatch = new Dispatch(parts)
    const intake = new Intake(parts, ids, orders, dispatch, epochOf, recentlyDone(db, age, options.joinAfterEndMs))
    const queue = new EmbeddedQueue(parts, intake, dispatch, pauses)
    const presence = new EmbeddedPresence(clock, options.disconnectGraceMs, (job) => {
      queue.abandon(job).catch(() => {}) // the store failed, and says so through health
    })
    const keys = new KeyStore(store)
    const tenants = new TenantStore(store)
    const snapshots = new Snapshots(clock)
    db.exec('PRAGMA synchronous = NORMAL') // from here on the disk thread syncs
    store.start(parts.logs, files === null ? null : (events) => (seams.disk ?? openDisk)(files, events))
    seams.opened?.(db)
    retention.start()
    clock.after(options.joinAfterEndMs, () => intake.joinable.clear())
    const stopAge = age.keep(store)
    let closed = false
    return {
      presence,
      tickets: new EmbeddedTickets(clock),
      signIns: new EmbeddedSignIns(clock),
      peers: alone(ids.name('node', 4)),
      backup() {
        if (files === null)
          throw new SluiceError('invalid_request', {
            message: 'This server stores nothing ("durability: memory"), so there is nothing to back up.',
          })
        return snapshots.take({ path: files.path, age: age.now() })
      },
      ...engineOf(parts, queue, intake, { keys, tenants, documents, files: stored }, usage, retention, dispatch, () => {
        closed = true
        dispatch.stop()
        queue.stop()
        presence.close()
        retention.stop()
        stopAge()
        const ended = snapshots.close().then(() => store.close(() => age.note()))
        return ended.finally(() => release(store.down?.code !== 'storage_failed'))
      }),
      async restore() {
        const expectReader = (job: Job): void => presence.expect(job)
        await restoreJobs(parts, age, epochOf, () => closed, expectReader).catch((error: unknown) => {
          throw explained(options.dir, error)
        })
        if (closed) return
        intake.open = true
        dispatch.open()
      },
    }
  } catch (error) {
    release()
    throw explained(options.dir, error)
  }
}

const LOSSES: Readonly<Record<Loss['what'], string>> = {
  damaged: 'The WAL is damaged',
  gone: 'The WAL is gone, as after a copy of sluice.db alone was taken from a running server',
  changed: 'The database or its WAL was changed under the last run, as by a backup copied over it',
}

const told = ({ what, commits, copy }: Loss): string =>
  `${LOSSES[what]}: ${commits === 0 ? 'commits since the last checkpoint' : `${commits} commits`} of ` +
  'the last run are missing, acknowledged jobs and ends among them. Clients find out by their job ids (404) and ' +
  'idempotency keys. ' +
  (copy === null ? '' : `The damaged WAL is kept as ${copy}: delete it when it is no longer needed. `) +
  (what === 'damaged' ? 'Check the disk.' : 'Restore backups with the server stopped, into an empty folder.')

const damagedSegment = (n: number): string =>
  `Segment ${n} of the token logs is damaged: jobs that had not ended lose what they streamed from there on, ` +
  'and run again. Clients that saw more of it are told to begin anew. Check the disk.'

interface Small {
  readonly keys: KeyStore
  readonly tenants: TenantStore
  readonly documents: DocumentStore
  readonly files: DocumentFiles
}

function engineOf(
  parts: Parts,
  queue: EmbeddedQueue,
  { erasing }: Intake,
  { keys, tenants, documents, files }: Small,
  usage: UsageRows,
  retention: Retention,
  dispatch: Dispatch,
  close: () => Promise<void>,
): Omit<Engine, 'restore' | 'presence' | 'tickets' | 'signIns' | 'peers' | 'backup'> {
  const { store, logs, live, conversations, coordinator } = parts
  let closed: Promise<void> | null = null

  function eraseTenant(tenant: TenantId): Promise<void> {
    const erased = erasing.get(tenant) ?? erase(tenant).finally(() => erasing.delete(tenant))
    erasing.set(tenant, erased)
    return erased
  }

  async function erase(tenant: TenantId): Promise<void> {
    const running = (): readonly LiveJob[] => [...live.values()].filter(({ job }) => job.tenant === tenant)
    await keys.removeTenant(tenant)
    await tenants.remove(tenant)
    await files.removeTenant(tenant)
    await documents.removeTenant(tenant)
    do {
      await Promise.all(running().map(({ job }) => queue.ended(job.id)))
      await retention.removeTenant(tenant)
    } while (running().length > 0)
    await conversations.removeTenant(tenant)
    // What the ends of its jobs wrote
    await files.removeTenant(tenant)
    await documents.removeTenant(tenant)
    // First in memory: what is forgotten there is not written back
    coordinator.forgetTenant(tenant)
    await retention.removeUsage(tenant)
    await logs.renewed()
    await store.synced()
  }

  return {
    submissions: queue,
    work: queue,
    jobs: queue,
    operations: queue,
    log: logs,
    conversations,
    keys,
    tenants,
    documents,
    files,
    audit: new AuditStore(store),
    ledger: usage,
    sharedSecret: null,
    intakeSecret: (own) => keepIntakeSecret(store, own),
    wallMs: () => parts.clock.wallMs(),
    eraseTenant: (tenant) => store.ifUp(() => eraseTenant(tenant)),
    health(): { readonly ok: true } | { readonly ok: false; readonly error: SluiceError } {
      const error = store.down
      return error === null ? { ok: true } : { ok: false, error }
    },
    configure(models) {
      coordinator.configure(models, dispatch.now())
      dispatch.act()
    },
    adjust() {
      coordinator.limitsChanged(dispatch.now())
      dispatch.act()
    },
    metrics: [
      ...store.metrics,
      gauge('used_bytes', 'What is stored, without what is free in its file', () => usedBytes(store.db)),
      gauge('segments', 'Rows of token logs that are not compacted yet', () => logs.segments.count),
      gauge('live_jobs', 'Jobs that have not ended', () => live.size),
      gauge('live_log_bytes', 'Their logs in memory', () => logs.liveBytes),
      retention.removed,
    ],
    draining: () => store.write({ apply: () => markDraining(store.db), keep: false, done: () => {} }),
    close: () => (closed ??= close()),
  }
}
