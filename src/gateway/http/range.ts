/** The `range` of a request for bytes. */
import { SluiceError } from '../../core/errors.ts'

/** From, and up to (exclusive). Null: all of it, also where several ranges are asked for, or none that is known. */
export function rangeOf(header: string | undefined, bytes: number): readonly [number, number] | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '')
  if (match === null || (match[1] === '' && match[2] === '')) return null
  const [from, to] =
    match[1] === ''
      ? [Math.max(0, bytes - Number(match[2])), bytes]
      : [Number(match[1]), match[2] === '' ? bytes : Math.min(bytes, Number(match[2]) + 1)]
  if (from < to) return [from, to]
  throw new SluiceError('invalid_request', {
    status: 416,
    message: `The range is not within the ${bytes} bytes that the file has.`,
  })
}
