/** Checksums of what is stored for long: a flipped bit ends one job, and is never served as its text. */
import { crc32 } from 'node:zlib'
import { SluiceError } from '../../../core/errors.ts'

/** `seed`: a number beside the blob that must fit it too. */
export const checksumOf = (data: Uint8Array, seed: number): number => crc32(data, seed >>> 0)

/** `checksum` null: stored by a version that had none. */
export const isIntact = (data: Uint8Array, seed: number, checksum: number | null): boolean =>
  checksum === null || checksumOf(data, seed) === checksum

export const damagedJob = (what: string, cause?: unknown): SluiceError =>
  new SluiceError('job_damaged', {
    message: `${what} is damaged on disk (not readable), and is not served. Other jobs are not affected.`,
    cause,
  })

/** JSON that was stored. Throws job_damaged. */
export function parseIntact<T>(what: string, text: string): T {
  try {
    return JSON.parse(text) as T
  } catch (cause) {
    throw damagedJob(what, cause)
  }
}

/** Throws job_damaged. `what`: "The log of job_…". */
export function expectIntact(what: string, data: Uint8Array, seed: number, checksum: number | null): void {
  if (!isIntact(data, seed, checksum))
    throw new SluiceError('job_damaged', {
      message: `${what} is damaged on disk (its checksum differs), and is not served. Other jobs are not affected.`,
    })
}
