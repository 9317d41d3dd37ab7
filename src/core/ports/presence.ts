/**
 * Who reads a job (S2). A plain POST that nobody reads any longer is canceled, after a grace in which its reader may
 * return.
 */
import type { Job, JobId } from '../job.ts'

export interface Presence {
  /**
   * Somebody reads, or waits for, this job here. Returns the function that ends it; `complete`: they have everything;
   * `goneMs`: how long ago they may have left already. The engine counts the readers of all gateways; when the last
   * has left, the grace begins, and after a restart it begins for all.
   */
  enter(job: Pick<Job, 'id' | 'options'>): (complete: boolean, goneMs?: number) => void
  /** Readers here, for the cap. */
  readers(job: JobId): number
  /** This gateway stops: its readers leave because of that, and no job is canceled for it. */
  close(): void
}
