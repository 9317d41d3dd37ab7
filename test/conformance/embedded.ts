/** Opens the embedded engine for the suites, and lets it die in two ways. */
import { copyFileSync, cpSync, existsSync, fdatasync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { type Clock, Wheel } from '../../src/core/clock.ts'
import type { Happened } from '../../src/core/facts.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { Coordinator } from '../../src/core/ports/coordinator.ts'
import type { Boot } from '../../src/core/ports/engine.ts'
import { FILES_FOLDER } from '../../src/engines/embedded/blobs.ts'
import { type OpenDisk, openDisk } from '../../src/engines/embedded/disk/disk.ts'
import { openEmbedded } from '../../src/engines/embedded/open.ts'
import type { RetentionOptions } from '../../src/engines/embedded/retention/retention.ts'
import { UNLIMITED } from '../../src/engines/shared/conversation-limits.ts'
import type { Durability } from '../../src/engines/shared/durability.ts'
import { FILE_CAPS } from '../../src/engines/shared/files.ts'
import { counted, leapClock, type Opened, type Settings } from './harness.ts'
import { coordinatorOptions, GRACE_MS } from './settings.ts'

const same = <T>(it: T): T => it
const FILES = ['sluice.db', 'sluice.db-wal']
let boots = 0
const SAME_BOOT: Boot = { id: 'boot', ms: () => null }
/** The machine starts now. */
const bootOf = (clock: Clock): Boot => {
  const startedMono = clock.monoMs()
  return { id: `boot-${++boots}`, ms: () => clock.monoMs() - startedMono }
}

/** What is in the folder now, as a kill -9 would leave it: the page cache survives. */
function copyFolder(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  for (const file of FILES) {
    rmSync(join(to, file), { force: true })
    if (existsSync(join(from, file)) && statSync(join(from, file)).size > 0)
      copyFileSync(join(from, file), join(to, file))
  }
  const blobs = join(from, FILES_FOLDER)
  if (!existsSync(blobs)) return
  rmSync(join(to, FILES_FOLDER), { recursive: true, force: true })
  cpSync(blobs, join(to, FILES_FOLDER), { recursive: true })
}

/** It syncs as the disk thread does. A thread to start for each engine would be most of what the suites cost. */
const withoutThread: OpenDisk = ({ wal }, events) => {
  let idle = Promise.resolve()
  return {
    sync() {
      const startedMono = performance.now()
      idle = new Promise((done) =>
        fdatasync(wal, (error) => {
          done()
          if (error === null) events.synced(performance.now() - startedMono, 0)
          else events.failed(error.message)
        }),
      )
    },
    checkpoint() {},
    held() {},
    close: () => idle,
  }
}

export interface Planted {
  /** No disk thread: for cases that the disk does not matter to. */
  readonly withoutThread?: boolean
  /** Replaces the disk thread. */
  readonly disk?: (real: OpenDisk) => OpenDisk
  /** Gets the engine's own connection. */
  readonly opened?: (db: DatabaseSync) => void
  readonly retention?: Partial<RetentionOptions>
  readonly coordinator?: (real: Coordinator) => Coordinator
  readonly walWarnBytes?: number
  /** A folder that is there. */
  readonly dir?: string
  /** Each start belongs to the same boot. */
  readonly sameBoot?: boolean
}

export function embedded(
  durability: Durability,
  planted: Planted = {},
): (settings?: Settings) => Promise<Opened & { readonly dir: string }> {
  return async (settings = {}) => {
    const root = mkdtempSync(join(tmpdir(), 'sluice-conformance-'))
    let serial = 0
    let left = 0
    const clock = leapClock()
    const facts: Happened[] = []
    const start = async (dir: string, boot: Boot): Promise<Opened & { readonly dir: string }> => {
      const synced = join(root, `synced-${++serial}`)
      left++
      // What a sync covers is what was there when it began; that, and no more, is left by a power loss
      const watched: OpenDisk = (path, events) => {
        let began = ''
        const real = (planted.withoutThread ? withoutThread : openDisk)(path, {
          ...events,
          synced(ms, walBytes) {
            // A disk so slow that an orderly end did not wait for it: nothing is left to compare
            if (existsSync(began)) {
              copyFolder(began, synced)
              rmSync(began, { recursive: true })
            }
            events.synced(ms, walBytes)
          },
        })
        return {
          ...real,
          sync() {
            began = join(root, `began-${++serial}`)
            copyFolder(dir, began)
            real.sync()
          },
        }
      }
      const opened = openEmbedded(
        {
          dir,
          durability,
          coordinator: (planted.coordinator ?? same)(createCoordinator(coordinatorOptions(settings))),
          clock,
          ids: systemIds(),
          wheel: new Wheel(clock),
          retention: {
            logsMs: settings.retentionMs ?? 86_400_000,
            bytes: 1 << 30,
            atLeastMs: 0,
            usageMs: settings.usageMs ?? 86_400_000,
            usageBytes: 1 << 30,
            ...(settings.usageSums !== undefined && { usageSums: settings.usageSums }),
            conversations: UNLIMITED,
            ...planted.retention,
            tenant: (t) => retentionOf(settings, t),
          },
          joinAfterEndMs: 60_000,
          files: { ...FILE_CAPS, ...settings.files },
          disconnectGraceMs: GRACE_MS,
          boot: planted.sameBoot ? SAME_BOOT : boot,
          onFact: (fact) => facts.push(fact),
        },
        {
          disk: planted.disk === undefined ? watched : planted.disk(watched),
          ...(planted.opened && { opened: planted.opened }),
          ...(planted.walWarnBytes !== undefined && { walWarnBytes: planted.walWarnBytes }),
        },
      )
      const engine = counted(opened)
      await engine.restore()
      copyFolder(dir, synced) // opening syncs what it writes
      return {
        engine,
        clock,
        facts,
        dir,
        async reopen(how, meanwhile) {
          const next = join(root, `data-${++serial}`)
          copyFolder(how === 'kill' ? dir : synced, next)
          await engine.close()
          meanwhile?.()
          return start(next, how === 'kill' ? boot : bootOf(clock))
        },
        async close() {
          await engine.close()
          if (--left === 0) rmSync(root, { recursive: true, force: true })
        },
      }
    }
    return start(planted.dir ?? join(root, 'data'), bootOf(clock))
  }
}

const retentionOf = (settings: Settings, tenant: string): { readonly logsMs: number } | null => {
  const logsMs = settings.retentionOf?.(tenant) ?? null
  return logsMs === null ? null : { logsMs }
}
