/** The YAML file, with the line and column of each setting. */
import { createRequire } from 'node:module'
import type { Document, Node, Pair } from 'yaml'
import { SluiceError } from '../core/errors.ts'

/** Loaded for the first file: a start without one does not need it. */
const yaml = (): typeof import('yaml') => createRequire(import.meta.url)('yaml')

export interface FileText {
  readonly value: Record<string, unknown>
  has(path: readonly string[]): boolean
  /** Where it begins, in chars from the start of the file. */
  offset(path: readonly string[]): number
  /** "sluice.yaml:12:3" of the setting, or of the nearest one around it. */
  place(path: readonly string[]): string
}

/** Throws config_invalid. Messages name the place, and quote no content: there may be secrets in it. */
export function parseFile(name: string, text: string): FileText {
  const { LineCounter, parseDocument } = yaml()
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, stringKeys: true })
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${name}:${line}:${col}`
  }
  const error = document.errors[0] ?? document.warnings[0]
  if (error)
    throw new SluiceError('config_invalid', {
      message: `${at(error.pos[0])}: not valid YAML (${error.code.toLowerCase().replaceAll('_', ' ')}).`,
    })
  const value: unknown = toJs(document, name) ?? {}
  if (typeof value !== 'object' || Array.isArray(value))
    throw new SluiceError('config_invalid', { message: `${name}: expected settings, one "name: value" per line.` })
  const offset = (path: readonly string[]): number => {
    let found = 0
    for (let depth = 1; depth <= path.length; depth++) found = offsetOf(document, path.slice(0, depth)) ?? found
    return found
  }
  return {
    value: withoutNull(value) as Record<string, unknown>,
    has: (path) => document.hasIn(path),
    offset,
    place: (path) => at(offset(path)),
  }
}

/** A name without a value means its default. */
function withoutNull(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNull)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]) => (member === null ? [] : [[key, withoutNull(member)]])),
  )
}

/** More depth than settings have; an alias within its own anchor has no end. */
const MAX_DEPTH = 64

function toJs(document: Document, name: string): unknown {
  let value: unknown
  try {
    value = document.toJS()
  } catch (cause) {
    throw new SluiceError('config_invalid', { message: `${name}: too many aliases.`, cause })
  }
  if (isDeeper(value, MAX_DEPTH))
    throw new SluiceError('config_invalid', {
      message: `${name}: is nested more than ${MAX_DEPTH} levels deep, or an alias refers to what it is part of.`,
    })
  return value
}

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return depth === 0 || Object.values(value).some((member) => isDeeper(member, depth - 1))
}

/** Where the key of a setting begins (of a list's item: the item). */
function offsetOf(document: Document, path: readonly string[]): number | undefined {
  const { isMap, isScalar } = yaml()
  const parent: unknown = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  const key = path.at(-1)!
  if (isMap(parent))
    return (
      parent.items.find((pair: Pair) => isScalar(pair.key) && String(pair.key.value) === key)?.key as Node | undefined
    )?.range?.[0]
  return (document.getIn(path, true) as Node | undefined)?.range?.[0]
}
