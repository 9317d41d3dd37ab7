/** Reads a source: whom it imports, and where it reads time, randomness and the environment. */
import { readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { parseSync } from 'rolldown/utils'
import { globalsUsed, type Use } from './globals.ts'

export interface Import {
  readonly specifier: string
  readonly line: number
  /** Erased before it runs. */
  readonly isType: boolean
  /** Loaded when it is reached: `import()`. */
  readonly isLazy?: boolean
  /** Of a relative import: the file, from the root. */
  readonly target: string | null
}

export interface Module {
  readonly path: string
  readonly imports: readonly Import[]
  readonly environment: readonly Place[]
  readonly time: readonly Place[]
  readonly randomness: readonly Place[]
  /** What the parser could not read. */
  readonly errors: readonly string[]
}

export interface Place {
  readonly name: string
  readonly line: number
}

/**
 * Small tests beside the sources, and what several of them share: they may import what they like, and no source imports
 * them.
 */
export const isTest = (path: string): boolean => path.endsWith('.test.ts') || path.includes('/testing/')

export function readModule(root: string, path: string): Module {
  const source = readFileSync(join(root, path), 'utf8')
  const { module, program, errors } = parseSync(path, source)
  const lineOf = (offset: number): number => source.slice(0, offset).split('\n').length
  const places = (uses: readonly Use[]): Place[] => uses.map(({ name, start }) => ({ name, line: lineOf(start) }))
  const found = globalsUsed(program)
  const erased = (start: number): boolean => /^(?:import|export)\s+type\b/.test(source.slice(start, start + 40))
  const text = (start: number, end: number): string => source.slice(start, end).replace(/^['"`]|['"`]$/g, '')
  const requests = [
    ...module.staticImports.map(({ start, moduleRequest }) => ({
      specifier: moduleRequest.value,
      start,
      isType: erased(start),
    })),
    ...module.staticExports.flatMap(({ start, entries }) =>
      entries.flatMap(({ moduleRequest }) =>
        moduleRequest ? { specifier: moduleRequest.value, start, isType: erased(start) } : [],
      ),
    ),
    ...module.dynamicImports.map(({ start, moduleRequest }) => ({
      specifier: text(moduleRequest.start, moduleRequest.end),
      start,
      isType: false,
      isLazy: true,
    })),
    ...found.typeImports.map(({ start, name }) => ({ specifier: name, start, isType: true })),
  ]
  const pathOf = (specifier: string): string =>
    relative(root, join(root, dirname(path), specifier))
      .split(sep)
      .join('/')
  return {
    path,
    imports: requests.map(({ start, ...one }) => ({
      ...one,
      line: lineOf(start),
      target: one.specifier.startsWith('.') ? pathOf(one.specifier) : null,
    })),
    environment: places(found.environment),
    time: places(found.time),
    randomness: places(found.randomness),
    errors: errors.map(({ message }) => message),
  }
}
