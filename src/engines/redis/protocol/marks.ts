/**
 * Which settings decide about jobs, as marks that processes compare: one for each group, and the same where its JSON
 * is. Settings are those of the process that coordinates; whoever has others must be told.
 */
import { hash } from 'node:crypto'

export type Marks = Readonly<Record<string, string>>

const MARK_CHARS = 12
const known = new WeakMap<object, Marks>()

/** Of plain data, by group. */
export function marksOf(settings: object): Marks {
  const there = known.get(settings)
  if (there !== undefined) return there
  const mark = (group: unknown): string => hash('sha256', JSON.stringify(group) ?? '').slice(0, MARK_CHARS)
  const marks = Object.fromEntries(Object.entries(settings).map(([name, group]) => [name, mark(group)]))
  known.set(settings, marks)
  return marks
}

/** Groups that differ. What only one of them knows is of another version. */
export const differing = (one: Marks, other: Marks): readonly string[] =>
  Object.keys(one).filter((name) => Object.hasOwn(other, name) && one[name] !== other[name])
