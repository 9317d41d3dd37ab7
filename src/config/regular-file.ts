/** Files that settings name. A pipe or a device could block the process forever, or never end. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'

const MAX_BYTES = 16 << 20

/** Throws the system's error; its code is a phrase where the file is no file. */
export function readRegularFile(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stats = fstatSync(file)
    if (!stats.isFile()) throw refusal('not a regular file')
    if (stats.size > MAX_BYTES) throw refusal(`larger than ${MAX_BYTES >> 20} MiB`)
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

const refusal = (code: string): Error => Object.assign(new Error(code), { code })
