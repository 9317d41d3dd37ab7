/**
 * Circles of imports, types included: of files, and of rooms. The rooms of a folder are its files, and each of its
 * folders taken as a whole. Where two rooms import each other, neither can be understood, tested or moved alone.
 */
import type { Module } from './modules.ts'

export interface Circle {
  /** An import that closes it: "src/gateway/deps.ts:7" */
  readonly at: string
  /** "src/gateway/caller → src/gateway/deps.ts → src/gateway/caller" */
  readonly way: string
}

/** Who imports whom, and one import that shows it. */
type Graph = ReadonlyMap<string, ReadonlyMap<string, string>>

export function circles(modules: readonly Module[]): Circle[] {
  const known = new Set(modules.map(({ path }) => path))
  const files = new Map<string, Map<string, string>>()
  /** By folder: its rooms. */
  const folders = new Map<string, Map<string, Map<string, string>>>()
  for (const { path, imports } of modules) {
    for (const { target, line } of imports) {
      if (target === null || !known.has(target)) continue
      const at = `${path}:${line}`
      arrow(files, path, target, at)
      const [folder, from, to] = rooms(path, target)
      if (from === path && to === target) continue
      const graph = folders.get(folder) ?? new Map<string, Map<string, string>>()
      folders.set(folder, graph)
      arrow(graph, from, to, at)
    }
  }
  return [files, ...folders.values()].flatMap(circlesOf)
}

function arrow(graph: Map<string, Map<string, string>>, from: string, to: string, at: string): void {
  const arrows = graph.get(from) ?? new Map<string, string>()
  graph.set(from, arrows)
  if (!arrows.has(to)) arrows.set(to, at)
}

/** The folder that both are in, and the room of each in it. */
function rooms(path: string, target: string): readonly [folder: string, from: string, to: string] {
  const [a, b] = [path.split('/'), target.split('/')]
  let shared = 0
  while (shared < a.length - 1 && shared < b.length - 1 && a[shared] === b[shared]) shared++
  const room = (parts: readonly string[]): string => parts.slice(0, shared + 1).join('/')
  return [a.slice(0, shared).join('/'), room(a), room(b)]
}

/** One for each import that closes a circle on a walk through the graph. */
function circlesOf(graph: Graph): Circle[] {
  const state = new Map<string, 'open' | 'closed'>()
  const found: Circle[] = []
  const visit = (from: string, way: readonly string[]): void => {
    state.set(from, 'open')
    for (const [to, at] of graph.get(from) ?? []) {
      const walked = [...way, from]
      if (state.get(to) === 'open') found.push({ at, way: [...walked.slice(walked.indexOf(to)), to].join(' → ') })
      else if (!state.has(to)) visit(to, walked)
    }
    state.set(from, 'closed')
  }
  for (const from of graph.keys()) if (!state.has(from)) visit(from, [])
  return found
}
