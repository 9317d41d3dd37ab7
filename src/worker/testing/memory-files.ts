/** Files of a test, in memory, as an engine keeps them. */
import { SluiceError } from '../../core/errors.ts'
import { type Files, MAX_FILE_CHUNK_BYTES, type StoredFile } from '../../core/ports/files.ts'

export interface MemoryFiles extends Files {
  /** The bytes of one. */
  bytes(id: string): Buffer
  readonly all: ReadonlyMap<string, StoredFile>
}

export function memoryFiles(): MemoryFiles {
  const files = new Map<string, StoredFile>()
  const chunks = new Map<string, Buffer[]>()
  let made = 0
  const change = (id: string, by: Partial<StoredFile>): StoredFile => {
    const file = { ...files.get(id)!, ...by }
    files.set(id, file)
    return file
  }
  const bytesOf = (id: string): Buffer => Buffer.concat(chunks.get(id) ?? [])
  return {
    caps: { bytes: Infinity, tenantBytes: Infinity, tenantFiles: Infinity },
    all: files,
    bytes: bytesOf,
    async create({ job, ...file }) {
      const id = `file-${String(++made).padStart(8, '0')}`
      chunks.set(id, [])
      files.set(id, { ...file, id, bytes: 0, sealed: false, createdAtMs: 0, ...(job !== undefined && { job: job.id }) })
      return files.get(id)!
    },
    async append(id, at, chunk) {
      const file = files.get(id)
      if (chunk.length < 1 || chunk.length > MAX_FILE_CHUNK_BYTES) throw new Error('a chunk of another size')
      if (file === undefined || file.sealed || file.bytes !== at) return null
      chunks.get(id)!.push(Buffer.from(chunk))
      return change(id, { bytes: at + chunk.length })
    },
    seal: async (id, facts = {}) => (files.has(id) ? change(id, { ...facts, sealed: true }) : null),
    get: async (id) => files.get(id) ?? null,
    async *read(id, start, end) {
      if (!files.has(id)) throw new SluiceError('file_not_found')
      const all = bytesOf(id)
      for (let at = start; at < Math.min(end, all.length); at += 65_536)
        yield all.subarray(at, Math.min(end, at + 65_536, all.length))
    },
    list: async ({ tenant, limit }) => [...files.values()].filter((file) => file.tenant === tenant).slice(0, limit),
    async remove(id) {
      chunks.delete(id)
      return files.delete(id)
    },
    async removeMade({ id: job }) {
      for (const file of files.values()) if (file.job === job) await this.remove(file.id)
    },
  }
}
