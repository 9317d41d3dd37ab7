/** What keeps a server from listening, and what to do about it. */
import { SluiceError } from '../core/errors.ts'
import { FailedError, UsageError } from './command.ts'

/** `flag`: what chooses another port. Any other error is returned as it is. */
export function listenError(error: unknown, hosts: string, flag: string): unknown {
  const { code, port } = error as NodeJS.ErrnoException & { port?: number }
  switch (code) {
    case 'EADDRINUSE':
      return new SluiceError('in_use', {
        message: `port ${port} is in use. Choose another one with ${flag}.`,
        cause: error,
      })
    case 'EACCES':
      if (port === undefined) return error
      return new FailedError(`this user may not listen on port ${port}. Choose another one with ${flag}.`, {
        cause: error,
      })
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new UsageError(`this machine has no address ${hosts}.`, { cause: error })
    default:
      return error
  }
}
