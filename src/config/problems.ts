/**
 * What the schema refuses, in words that help: the setting, what was expected, and the name that was probably meant.
 */
import type { z } from 'zod'
import { didYouMean, nearest } from '../core/nearest.ts'
import { LEAVES, type Leaf } from './leaves.ts'

export interface Problem {
  readonly path: readonly string[]
  readonly problem: string
}

export function describeIssue(issue: z.core.$ZodIssue): readonly Problem[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: [...path, key], problem: unknownKey(path, key) ?? bare(issue.message) }))
  if (issue.code === 'invalid_type')
    return [
      {
        path,
        problem: issue.message.endsWith('received undefined')
          ? 'is required'
          : `expected ${NAMES[issue.expected] ?? issue.expected}`,
      },
    ]
  if (issue.code === 'invalid_value') {
    const names = issue.values.map(String)
    const values = names.map((name) => `"${name}"`).join(', ')
    const near = typeof issue.input === 'string' ? didYouMean(issue.input, names) : ''
    const stop = near === '' ? '' : '.'
    return [{ path, problem: `must be ${names.length === 1 ? values : `one of ${values}`}${stop}${near}` }]
  }
  if (issue.code === 'too_small')
    return [
      {
        path,
        problem:
          issue.origin === 'string' || issue.origin === 'array'
            ? 'must not be empty'
            : `must be ${issue.inclusive ? 'at least' : 'greater than'} ${issue.minimum}`,
      },
    ]
  if (issue.code === 'too_big') return [{ path, problem: `must be at most ${issue.maximum}` }]
  if (issue.code === 'invalid_key') return [{ path, problem: 'is not a valid name' }]
  return [{ path, problem: issue.message }]
}

/** Where nothing is known by name: a schema's own words, or ours for none. */
const bare = (message: string): string =>
  message.startsWith('Unrecognized key') ? 'is not a known setting here' : message

const NAMES: Readonly<Record<string, string>> = {
  object: 'a group of settings, one "name: value" per line',
  array: 'a list',
  string: 'a string',
  number: 'a number',
  boolean: 'true or false',
  record: 'names with values',
}

/** Of groups that are shown as one, too; items have no place of their own. */
const EVERYWHERE = LEAVES.flatMap(({ path, kind, members }) => [
  path,
  ...(kind === 'limits' ? members.map((member) => [...path, ...member.path]) : []),
])

const isPlace = (part: string): boolean => /^\d+$/.test(part)
/** Without places in lists. */
const named = (path: readonly string[]): string[] => path.filter((part) => !isPlace(part))
/** "tenants[0].limits" */
export const dotted = (path: readonly string[]): string =>
  path.map((part, i) => (isPlace(part) ? `[${part}]` : i === 0 ? part : `.${part}`)).join('')

/** Null: the schema knows better what is allowed there. */
function unknownKey(path: readonly string[], key: string): string | null {
  const within = named(path)
  const siblings = namesIn(LEAVES, within)
  if (siblings.length === 0) return null
  const near = nearest(key, siblings)
  if (near !== null) return `is not a known setting. Did you mean "${near}"?`
  // A group around this one is likelier to be meant than another part of the settings
  const around = path.findLastIndex((_, i) => namesIn(LEAVES, named(path.slice(0, i))).includes(key))
  const elsewhere = around > 0 ? [...path.slice(0, around), key] : EVERYWHERE.find((path) => path.at(-1) === key)
  if (elsewhere) return `is not a known setting here. Did you mean "${dotted(elsewhere)}"?`
  return `is not a known setting. Known here: ${siblings.join(', ')}.`
}

/** The names allowed in a group, or in each item of a list. */
function namesIn(leaves: readonly Leaf[], path: readonly string[]): string[] {
  const list = leaves.find(
    (leaf) => leaf.members.length > 0 && leaf.path.join('.') === path.slice(0, leaf.path.length).join('.'),
  )
  if (list) return namesIn(list.members, path.slice(list.path.length))
  const inside = leaves.filter((leaf) => path.every((key, i) => leaf.path[i] === key) && leaf.path.length > path.length)
  return [...new Set(inside.map((leaf) => leaf.path[path.length]))]
}
