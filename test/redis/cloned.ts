/** Imported first, it makes a process one of a machine that was cloned: pid 1, the same name, the same randomness. */
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'

let n = 1
const next = (): number => {
  n = (n * 48_271) % 2_147_483_647
  return n
}
Object.defineProperty(process, 'pid', { value: 1 })
os.hostname = () => 'sluice'
syncBuiltinESMExports()
Math.random = () => next() / 2_147_483_647
crypto.getRandomValues = <T extends ArrayBufferView | null>(array: T): T => {
  if (array !== null) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
    for (let i = 0; i < bytes.length; i++) bytes[i] = next()
  }
  return array
}
crypto.randomUUID = () => '00000000-0000-4000-8000-000000000000'
