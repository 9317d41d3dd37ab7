/** Documents of a test, in memory; lists are empty. */
import type { Document, Documents } from '../../../core/ports/documents.ts'

export function inMemory(): Documents {
  const all = new Map<string, Document>()
  const key = (kind: string, id: string): string => `${kind} ${id}`
  return {
    get: async (kind, id) => all.get(key(kind, id)) ?? null,
    async put(document, version) {
      const at = key(document.kind, document.id)
      if ((all.get(at)?.version ?? 0) !== version) return null
      const stored = { ...document, version: version + 1 }
      all.set(at, stored)
      return stored
    },
    remove: async (kind, id) => all.delete(key(kind, id)),
    list: async () => [],
    due: async (kind) => [...all.values()].filter((one) => one.kind === kind && one.dueAtMs !== null),
    waiting: async () => 0,
  }
}
