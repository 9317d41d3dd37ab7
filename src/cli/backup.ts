/** `sluice backup`: a running server's store, at one moment, as a file. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { type FileHandle, link, open, rename } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { loadConfig } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { systemIds } from '../core/ids.ts'
import { ADMIN_OPTIONS, adminClient } from './client.ts'
import { type Command, EXIT, FailedError, UsageError } from './command.ts'
import { print, progressOn } from './moved.ts'

/** A server that sends nothing for this long is gone. */
const STALLED_MS = 60_000
const PARTIAL = 'partial'
const NAME_BYTES = 6
/** Long since nothing was written: what made it was killed. */
const LEFT_MS = 10 * STALLED_MS

export const command: Command = {
  usage: 'backup FILE [--force] [--stopped]',
  about:
    'Saves everything that a running server stores, as it is at one moment, in a file that only you can read. ' +
    'Streams and submits go on meanwhile. It holds prompts, answers and the digests of API keys, but no key.',
  options: {
    force: { help: 'replace the file if it exists' },
    stopped: { help: 'of a server, or a fleet, that is stopped: its data folder, or its Redis, is read' },
    ...ADMIN_OPTIONS,
  },
  operand: { name: 'file' },
  takesSettings: ['admin-port', 'data-dir', 'redis-url', 'redis-nodes', 'redis-prefix', 'redis-allow-data-loss'],
  async run(args, out) {
    const file = resolve(args.positionals[0])
    const isForced = args.has('force')
    if (!isForced && existsSync(file)) throw exists(file)
    // A device that is replaced by a file is missed by other programs
    if (statSync(file, { throwIfNoEntry: false })?.isFile() === false)
      throw new UsageError(`${file} is no regular file: name another one.`)
    removeLeft(file)
    const partial = `${file}.${systemIds().name(PARTIAL, NAME_BYTES)}`
    const remove = (): void => rmSync(partial, { force: true })
    process.on('exit', remove) // a signal
    const { inspect, readStopped } = await import('../app/portable.ts')
    const progress = progressOn(out)
    const late = new AbortController()
    let handle: FileHandle | null = null
    let store: Awaited<ReturnType<typeof readStopped>> | null = null
    try {
      if (args.has('stopped')) {
        const flags = args.settings
        store = await readStopped(loadConfig({ file: args.option('config'), flags, withoutSecrets: true }).config)
      }
      handle = await open(partial, 'wx', 0o600)
      const ofServer = () => adminClient(args).call('GET', '/admin/backup', { signal: late.signal })
      const chunks = store?.chunks ?? ((await ofServer()).body as AsyncIterable<Uint8Array>)
      const counts = await inspect(written(chunks, handle, late, progress), file)
      for (const detail of store?.damaged ?? []) out.note(`damaged: ${detail}`)
      await handle.sync()
      await handle.close()
      handle = null
      // Of two that make the same file, one
      if (isForced) await rename(partial, file)
      else await link(partial, file)
      await syncFolder(dirname(file))
      print(args, out, { file }, counts, `Saved in ${file}. "sluice restore" fills an empty store from it.`)
      return EXIT.ok
    } catch (error) {
      throw args.has('stopped') && error instanceof SluiceError ? error : explained(file, error)
    } finally {
      await store?.close()
      await handle?.close()
      remove()
      process.off('exit', remove)
    }
  },
}

/** What backups to this file left that were killed. */
function removeLeft(file: string): void {
  const folder = dirname(file)
  if (!existsSync(folder)) return
  const beforeMs = systemClock.wallMs() - LEFT_MS
  const beginning = `${basename(file)}.${PARTIAL}_`
  for (const name of readdirSync(folder).filter((each) => each.startsWith(beginning))) {
    const path = join(folder, name)
    const { mtimeMs = Infinity } = statSync(path, { throwIfNoEntry: false }) ?? {}
    if (mtimeMs < beforeMs) rmSync(path, { force: true })
  }
}

async function* written(
  chunks: AsyncIterable<Uint8Array>,
  handle: FileHandle,
  late: AbortController,
  progress: (section: string, items: number) => void,
): AsyncGenerator<Uint8Array> {
  const patience = (): (() => void) => systemClock.after(STALLED_MS, () => late.abort())
  let stop = patience()
  let bytes = 0
  try {
    for await (const chunk of chunks) {
      stop()
      await handle.writeFile(chunk)
      bytes += chunk.length
      progress('bytes', bytes)
      yield chunk
      stop = patience()
    }
  } finally {
    stop()
  }
}

async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r')
  await folder.sync()
  await folder.close()
}

const exists = (file: string): UsageError => new UsageError(`${file} exists: --force replaces it.`)

/** What kept it from being made; nothing of it is left. */
function explained(file: string, error: unknown): unknown {
  if (error instanceof FailedError) return error
  const { code, syscall, name } = error as NodeJS.ErrnoException
  if (code === 'EEXIST') return exists(file)
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG')
    return new FailedError(`There is no room for ${file} (${code}): free some space. Nothing of it is kept.`)
  if (syscall !== undefined && code !== 'ECONNRESET') return new FailedError(`${file} can't be written (${code}).`)
  if (error instanceof SluiceError || name === 'TypeError' || name === 'AbortError' || code === 'ECONNRESET')
    return new FailedError('The server cut the backup short: its log has the reason. Nothing of it is kept.')
  return error
}
