/**
 * Bytes that are too many for a log: what users upload, what batches answer, images and sounds. They are written once,
 * from the front to the back, and may be read as far as they are written. Of each tenant, under caps.
 */
import type { Job, JobId, TenantId } from '../job.ts'

/** Of one `append`. */
export const MAX_FILE_CHUNK_BYTES = 1_048_576

export interface StoredFile {
  /** "file-" and what `agedId` makes: sorts by age; that of a job's file by the age of the job. */
  readonly id: string
  readonly tenant: TenantId
  /** The end user, or session, that it belongs to; null: its tenant alone. */
  readonly user: string | null
  /** OpenAI's words: batch, batch_output, user_data, vision, assistants …; of ours: media. */
  readonly purpose: string
  readonly name: string
  /** Media type. */
  readonly type: string
  /** Written so far, and safe. */
  readonly bytes: number
  readonly sealed: boolean
  readonly createdAtMs: number
  /** It is not shown any more from then on, and gone some time after; null: it stays. */
  readonly expiresAtMs: number | null
  /** That it was made by; absent: by none. */
  readonly job?: JobId
}

/** Whose files are found together. */
export type FileMaker = Pick<Job, 'id' | 'tenant' | 'acceptedAtMs'>

export type NewFile = Pick<StoredFile, 'tenant' | 'user' | 'purpose' | 'name' | 'type' | 'expiresAtMs'> & {
  /** Of the same tenant. */
  readonly job?: FileMaker
}

export interface FileRange {
  readonly tenant: TenantId
  readonly user?: string
  readonly purpose?: string
  /** Newest first; those older than this id. */
  readonly before?: string
  /** At most this many. */
  readonly limit: number
}

/** What may be stored. */
export interface FileCaps {
  /** Bytes of a file. */
  readonly bytes: number
  /** Bytes of all files of a tenant; what other processes wrote is counted within a minute. */
  readonly tenantBytes: number
  /** Files of a tenant. */
  readonly tenantFiles: number
}

/** What resolves with a change is as safe as an acknowledged job. Rejects with storage_unavailable. */
export interface Files {
  readonly caps: FileCaps
  /** Empty, and open for `append`. Rejects with storage_full where its tenant has as much as it may. */
  create(file: NewFile): Promise<StoredFile>
  /**
   * Adds a chunk (1 to MAX_FILE_CHUNK_BYTES bytes) to a file of `at` bytes: all of it or nothing. Null: it has another
   * length, is sealed or gone, and nothing was written (of two writers one succeeds). Rejects with storage_full.
   */
  append(id: string, at: number, chunk: Uint8Array): Promise<StoredFile | null>
  /**
   * No more is added; `facts` are known only now, where they are given. Null: it is gone. Of one that is sealed nothing
   * changes.
   */
  seal(
    id: string,
    facts?: Partial<Pick<StoredFile, 'name' | 'purpose' | 'type' | 'expiresAtMs'>>,
  ): Promise<StoredFile | null>
  get(id: string): Promise<StoredFile | null>
  /**
   * Its bytes from `start` (0: its first) up to `end` (exclusive; at most what is written), in chunks, each read when
   * it is asked for. Rejects with file_not_found where it is gone meanwhile, and
   * with file_damaged where bytes are missing.
   */
  read(id: string, start: number, end: number): AsyncIterable<Uint8Array>
  list(range: FileRange): Promise<readonly StoredFile[]>
  /** With its bytes. False: there was none. */
  remove(id: string): Promise<boolean>
  /** All that was created for this job, by whatever process, with their bytes. */
  removeMade(job: FileMaker): Promise<void>
}
