/** What earlier versions stored of a job, in today's words. Read as it is, so that no start rewrites a whole folder. */
import type { Job } from '../../../core/job.ts'

/** Until 0.1: the one dialect that streamed, and what its client asked for. */
interface Asked {
  readonly stream?: boolean
  readonly includeUsage?: boolean
}

type Shown = Pick<Job, 'dialect' | 'shownAs' | 'takesBack'>

export function withDialect<F extends Partial<Shown> & Pick<Job, 'kind'>>(facts: F): Omit<F, keyof Asked> & Shown {
  const { dialect, takesBack } = facts
  if (dialect !== undefined && takesBack !== undefined) return { ...facts, dialect, takesBack }
  const { stream, includeUsage, ...others } = facts as F & Asked
  return {
    ...others,
    dialect: facts.kind === 'embedding' ? 'embeddings' : 'chat',
    ...(includeUsage === true ? { shownAs: { include_usage: true } } : {}),
    takesBack: stream !== true,
  }
}
