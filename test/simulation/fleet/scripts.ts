/** All scripts that are simulated, by the name of their file. */
import { MODELS, type Model } from './model.ts'
import { committing } from './model-commit.ts'
import { LOG_MODELS } from './model-log.ts'

export const SCRIPTS: Readonly<Record<string, Model>> = { ...MODELS, ...LOG_MODELS, commit: committing() }

/** They change nothing. */
export const READS: ReadonlySet<string> = new Set(['heard', 'time', 'memory', 'tell', 'jobs-get', 'log-common'])
