/**
 * Do the files still have their names? What is written to files that nobody will find again must not be acknowledged.
 * Names only change with the time of their folder: while that stands still, one look is enough.
 */
import { fstatSync, type Stats, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { systemClock } from '../../../core/clock.ts'
import { shmOf, walOf } from './folder.ts'
import type { Files } from './schema.ts'

/** File systems take their times from a clock that ticks every 1 to 10 ms: within a tick, two changes look like one. */
const TICKED_MS = 50

interface Opened {
  readonly name: string
  readonly dev: number
  readonly ino: number
}

export class Names {
  readonly #files: readonly Opened[]
  readonly #lock: Opened
  readonly #folder: string
  /** As it was last seen, and since when it has looked like that. */
  #seen: Stats | undefined
  #seenMono = 0
  /** They were all there when a change of the folder would have shown. */
  #isKnown = false

  constructor({ path, database, wal, shm, lock }: Files) {
    this.#files = [
      identity(path, database),
      identity(walOf(path), wal),
      identity(shmOf(path), shm), // others would lock another one
    ]
    this.#lock = { name: lock.path, dev: lock.dev, ino: lock.ino }
    this.#folder = dirname(path)
  }

  /** Looks at each. Throws an error that tells which one is not what was opened. */
  expect(): void {
    for (const file of this.#files)
      if (!isThere(file)) throw new Error(`${file.name} was deleted, moved or replaced while the server ran`)
    if (!isThere(this.#lock))
      throw new Error(
        `${this.#lock.name} was deleted, moved or replaced while the server ran: another server may have started`,
      )
  }

  /** As `expect`, for a system call where nothing changed. Tells whether other files of the folder may be new, too. */
  expectStill(): boolean {
    const now = statSync(this.#folder, { throwIfNoEntry: false })
    const nowMono = systemClock.monoMs()
    const isSame = now !== undefined && sameFolder(now, this.#seen)
    if (isSame && this.#isKnown) return false
    if (!isSame) {
      this.#seen = now
      this.#seenMono = nowMono
      this.#isKnown = false
    }
    this.expect()
    this.#isKnown = isSame && nowMono - this.#seenMono >= TICKED_MS
    return true
  }
}

function identity(name: string, fd: number): Opened {
  const { dev, ino } = fstatSync(fd)
  return { name, dev, ino }
}

function isThere({ name, dev, ino }: Opened): boolean {
  const there = statSync(name, { throwIfNoEntry: false })
  return there?.ino === ino && there.dev === dev
}

/** Unlike its mtime, nobody can set a ctime. */
const sameFolder = (a: Stats, b: Stats | undefined): boolean =>
  a.ctimeMs === b?.ctimeMs && a.ino === b.ino && a.dev === b.dev
