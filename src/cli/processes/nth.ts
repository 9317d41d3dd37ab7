/** Which of the processes that share a server's ports this one is: 1, 2, …; one that follows another has its number. */
import { environmentOf, NTH_PROCESS } from '../../config/load.ts'

/** What the parent gives each of its children. */
export const environmentFor = (nth: number): Record<string, string> => ({ [NTH_PROCESS]: String(nth) })

/** Null: it is no such child. */
export function nthProcess(): number | null {
  const nth = process.channel === undefined ? null : environmentOf(NTH_PROCESS)
  return nth === null ? null : Number(nth)
}
