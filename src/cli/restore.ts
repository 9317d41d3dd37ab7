/** `sluice restore`: fills an empty store from a backup. */
import { createReadStream } from 'node:fs'
import { loadConfig } from '../config/load.ts'
import { type Command, EXIT, FailedError } from './command.ts'
import { print, progressOn } from './moved.ts'

export const command: Command = {
  usage: 'restore FILE [--data-dir DIR]',
  about:
    'Fills an empty store from a backup: the data folder, or Redis where engine.redis is set. What had not ended in ' +
    'the backup runs again. The original may go on: no cursor of one is taken for the text of the other.',
  options: {},
  operand: { name: 'file' },
  takesSettings: ['data-dir', 'redis-url', 'redis-nodes', 'redis-prefix', 'redis-allow-data-loss'],
  async run(args, out) {
    const [file] = args.positionals
    const { config } = loadConfig({ file: args.option('config'), flags: args.settings, withoutSecrets: true })
    const { restore } = await import('../app/portable.ts')
    const stream = createReadStream(file)
    const chunks = stream as AsyncIterable<Uint8Array>
    try {
      const { to, counts } = await restore(config, chunks, file, progressOn(out))
      print(args, out, { file, to }, counts, `Restored into ${to}: start the server on it.`)
      return EXIT.ok
    } catch (error) {
      throw unreadable(file, error)
    } finally {
      stream.destroy()
    }
  },
}

const READING = new Set(['open', 'read'])

function unreadable(file: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException
  return syscall !== undefined && READING.has(syscall) ? new FailedError(`${file} can't be read (${code}).`) : error
}
