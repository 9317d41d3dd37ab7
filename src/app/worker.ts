/** The worker: takes leases, asks providers, writes what they answer. */
import type { Engine } from '../core/ports/engine.ts'
import type { Router } from '../routing/router.ts'
import { FirstTokens } from '../worker/first-tokens.ts'
import { startPool, type WorkerPool } from '../worker/pool.ts'
import { createPrompts } from '../worker/prompt.ts'
import type { Settings } from './reload.ts'
import type { Runtime } from './runtime.ts'

const MAX_PENDING_BYTES = 1 << 20

export function startWorker(
  { config }: Settings,
  { work, log, conversations }: Pick<Engine, 'work' | 'log' | 'conversations'>,
  router: Router,
  { clock, emit }: Runtime,
): WorkerPool {
  return startPool(
    {
      work,
      log,
      clock,
      emit,
      router,
      firstTokens: new FirstTokens(),
      prompt: createPrompts({ ...config.conversations, conversations, clock }),
      maxAnswerBytes: config.http.maxAnswerBytes,
      maxPendingBytes: MAX_PENDING_BYTES,
    },
    clock,
    { ...config.workers, id: `worker-${process.pid}`, headroom: router.headroom },
  )
}
