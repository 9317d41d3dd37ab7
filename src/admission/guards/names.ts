/** Lists of names, some of them the beginnings of names. */
import { z } from 'zod'
import { list } from '../../settings/fields.ts'

const listed = z
  .string()
  .regex(/^(?:[\w.:/@+-]{1,200}\*?|\*)$/, 'expected a name, the beginning of one followed by "*", or "*"')

export const names = () => list(listed)

/** Is a name on the list? */
export function onList(entries: readonly string[]): (name: string) => boolean {
  const whole = new Set(entries.filter((entry) => !entry.endsWith('*')))
  const beginnings = entries.filter((entry) => entry.endsWith('*')).map((entry) => entry.slice(0, -1))
  return (name) => whole.has(name) || beginnings.some((beginning) => name.startsWith(beginning))
}
