/** What can’t be redacted is blocked. */
import { SluiceError } from '../core/errors.ts'

export const notEditable = (): SluiceError =>
  new SluiceError('content_blocked', {
    message:
      'The request contains something to be redacted in a place where that can’t be done: in the name of a member, ' +
      'in an encoded text, or over several parts of a message.',
  })
