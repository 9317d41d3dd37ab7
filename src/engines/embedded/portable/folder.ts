/** A data folder at rest, to be read or filled. */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Ids } from '../../../core/ids.ts'
import type { Boot } from '../../../core/ports/engine.ts'
import type { Filling, Held } from '../../../core/ports/portable.ts'
import { Age } from '../disk/age.ts'
import { damage } from '../disk/faults.ts'
import { explained, FILLING, type Location, locate, markOf, own, syncFolder, unmake, walOf } from '../disk/folder.ts'
import { openFolder } from '../disk/schema.ts'
import { Epochs } from '../log/epochs.ts'
import { moveFileBytes } from './file-bytes.ts'
import { sourcesOf } from './read.ts'
import { sinksOf } from './write.ts'

/** Pages of the WAL at which it is moved to the database: nobody is served meanwhile. */
const CHECKPOINT_PAGES = 10_000

/** As a start of this version finds it; its jobs and logs are not changed. Throws in_use, config_invalid. */
export function openHeldFolder(dir: string, clock: Clock, ids: Ids, boot: Boot): Held {
  // A mistyped folder is not made
  if (!existsSync(dir) || !existsSync(locate(dir).file))
    throw new SluiceError('config_invalid', { message: `There is no store in ${dir}: is this the data folder?` })
  const { db, loss, release } = openFolder(dir)
  const damaged: string[] = []
  try {
    if (loss !== null) damaged.push('Its WAL is damaged or missing: the last commits are not there any more.')
    const age = new Age(db, clock, boot).now()
    const sources = sourcesOf({
      ...{ db, dir: locate(dir).dir, epochs: new Epochs(db, ids), age },
      damaged: (detail) => damaged.push(detail),
    })
    // The lock is the kernel's: nobody had it meanwhile
    const confirm = async (): Promise<void> => {}
    return { name: `the data folder ${dir}`, sources, damaged, confirm, close: async () => release() }
  } catch (error) {
    release()
    throw explained(dir, error)
  }
}

/**
 * Only when it is finished, the folder holds a store; where it is not, folders that were made for it are gone. Null: it
 * holds one already. Throws in_use.
 */
export function fillFolder(dir: string, ids: Ids): Filling | null {
  const location = locate(dir)
  if (holdsStore(location)) return null
  const lock = locked(location)
  const partial = join(location.dir, FILLING)
  let folder: ReturnType<typeof openFolder> | null = null
  let isFinished = false
  const close = (): void => {
    folder?.release()
    folder = null
    rmSync(partial, { recursive: true, force: true })
    if (!isFinished) unmake(location)
    if (lock.isOpen) lock.close()
  }
  try {
    rmSync(partial, { recursive: true, force: true })
    folder = openFolder(partial)
    const { db } = folder
    db.exec(`PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
    return {
      name: `the data folder ${dir}`,
      sinks: sinksOf(db, partial).map((sink) => ({
        kind: sink.kind,
        write(items) {
          try {
            return sink.write(items)
          } catch (error) {
            throw explained(dir, error)
          }
        },
      })),
      get sources() {
        return sourcesOf({ db, dir: partial, keepsTorn: true, epochs: new Epochs(db, ids), age: 0, damaged() {} })
      },
      async finish() {
        try {
          // What closing does not get into the database, it leaves in the WAL, and tells nobody
          db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
          folder?.release()
          folder = null
          const file = join(partial, basename(location.file))
          if (existsSync(walOf(file))) throw damage('its WAL could not be moved to the database')
          syncFile(file)
          moveFileBytes(partial, location.dir)
          renameSync(file, location.file)
          isFinished = true
          syncFolder(location.dir)
        } catch (error) {
          throw explained(dir, error)
        }
      },
      close: async () => close(),
    }
  } catch (error) {
    close()
    throw explained(dir, error)
  }
}

function locked(location: Location): DatabaseSync {
  try {
    return own(location)
  } catch (thrown) {
    const error = explained(location.given, thrown)
    if ((error as SluiceError).code !== 'in_use') unmake(location)
    throw error
  }
}

const holdsStore = ({ file }: Location): boolean => [file, walOf(file), markOf(file)].some((path) => existsSync(path))

function syncFile(path: string): void {
  const fd = openSync(path, 'r+')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
