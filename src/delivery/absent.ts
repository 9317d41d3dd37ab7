/** Why a log that is to be read is not there. */
import { SluiceError } from '../core/errors.ts'
import { isTerminal } from '../core/job.ts'
import type { FoundJob } from '../core/ports/delivery.ts'
import type { TokenLog } from '../core/ports/log.ts'

/** job_gone, or job_lost; null: it is there again, and can be read. Of a job that had ended, nothing can be lost. */
export function whyAbsent(log: TokenLog, { id, epoch, state }: FoundJob): Promise<SluiceError | null> {
  return isTerminal(state) ? Promise.resolve(new SluiceError('job_gone')) : log.missing(id, epoch)
}

/** Resolves where it is there again; else throws why it is not. */
export async function back(log: TokenLog, job: FoundJob): Promise<void> {
  const why = await whyAbsent(log, job)
  if (why !== null) throw why
}
