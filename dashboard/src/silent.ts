/** Nodes that say nothing: their figures are in no sum. */
import type { NodeRow } from '../../src/core/live.ts'

const NAMED = 3

export const isSilent = ({ silentMs }: NodeRow): boolean => silentMs > 3_000

/** "Without the figures of vm:7, which is silent."; null: all tell theirs. */
export function withoutWords(nodes: readonly NodeRow[]): string | null {
  const silent = nodes.filter(isSilent).map(({ id }) => id)
  if (silent.length === 0) return null
  const more = silent.length - NAMED
  const names = more > 0 ? `${silent.slice(0, NAMED).join(', ')} and ${more} more` : silent.join(', ')
  return `Without the figures of ${names}, which ${silent.length === 1 ? 'is' : 'are'} silent.`
}
