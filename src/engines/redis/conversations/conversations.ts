/**
 * Lanes that remember, in Redis. Turns are written by the commit that ends their job (lua/conversations.lua); what is
 * read or changed here is one script a step, so that it sees and leaves a whole conversation.
 */
import { SluiceError } from '../../../core/errors.ts'
import type { JobId, TenantId } from '../../../core/job.ts'
import type {
  ConversationInfo,
  ConversationNews,
  ConversationPage,
  ConversationRange,
  Conversations,
  Turn,
  TurnPage,
  TurnRange,
} from '../../../core/ports/conversations.ts'
import type { Ground } from '../bus/ground.ts'
import { storageError } from '../client/errors.ts'
import type { Argument } from '../client/scripts.ts'
import { infoOf, type Look, readStanding, type Standing } from './standing.ts'
import { readTurn } from './turn.ts'
import { Watching } from './watching.ts'

/** Most that one script removes: large turns take long to free. */
const TURNS_A_STEP = 64
const BYTES_A_STEP = 4 << 20
/** Most that one page has, whatever it is asked for. */
const PAGE_BYTES = 8 << 20
/** Jobs that are canceled and erased in one step. */
const JOBS_A_STEP = 32
const BEFORE_ALL = -1

type Parts = Pick<Ground, 'names' | 'commands' | 'scripts' | 'clock' | 'emit'>

export class RedisConversations implements Conversations {
  readonly #parts: Parts
  readonly #look: Look
  /** Cancels a job if it has not ended, and removes it, its log and its turn. */
  readonly #eraseJob: (id: JobId) => Promise<unknown>
  readonly #watching: Watching

  constructor(parts: Parts, look: Look, eraseJob: (id: JobId) => Promise<unknown>) {
    this.#parts = parts
    this.#look = look
    this.#eraseJob = eraseJob
    this.#watching = new Watching(parts, (tenant, id) => this.#standing(tenant, id))
  }

  close(): void {
    this.#watching.close()
  }

  // ------------------------------------------------------------ reading

  async get(tenant: TenantId, id: string): Promise<ConversationInfo | null> {
    const found = (await this.#run('conversation-get', tenant, id)) as Array<string | null> | null
    return found === null ? null : infoOf(id, found)
  }

  async instructions(tenant: TenantId, id: string): Promise<string | null> {
    const found = (await this.#run('conversation-get', tenant, id)) as Array<string | null> | null
    return found?.[4] || null
  }

  async turns(tenant: TenantId, id: string, range: TurnRange): Promise<TurnPage | null> {
    const { from, beyond = '', limit } = range
    const maxBytes = Math.min(range.maxBytes, PAGE_BYTES)
    const found = (await this.#runBuffer('conversation-turns', tenant, id, from, beyond, limit, maxBytes)) as
      | Buffer[]
      | null
    if (found === null) return null
    const turns: Turn[] = []
    for (let i = 1; i < found.length; i += 2) turns.push(this.#turn(found[i].toString(), found[i + 1]))
    return { turns, more: found[0].toString() === '1' }
  }

  /** A damaged one is a turn without content: the page goes on after it. */
  #turn(job: JobId, stored: Buffer): Turn {
    const turn = readTurn(job, stored)
    if (turn !== null) return turn
    const detail = `The turn of ${job} is damaged in Redis: its conversation goes on without it.`
    this.#parts.emit({ type: 'store-warned', code: 'row_damaged', detail })
    return { job, state: 'failed', messages: '[]', answer: null }
  }

  async list(tenant: TenantId, { limit, scope = '', after }: ConversationRange): Promise<ConversationPage> {
    const before = after === undefined ? '' : placeOf(after)
    const rows = (await this.#run('conversation-list', tenant, scope, before, limit + 1)) as Array<
      readonly [id: string, seq: string, ...info: Array<string | null>]
    >
    const last = rows.length > limit ? rows[limit - 1] : undefined
    return {
      conversations: rows.slice(0, limit).map(([id, , ...info]) => infoOf(id, info)),
      next: last === undefined ? null : `${last[1]}-${Buffer.from(last[0], 'utf8').toString('base64url')}`,
    }
  }

  watch(tenant: TenantId, id: string, listener: (news: ConversationNews) => void): () => void {
    return this.#watching.watch(tenant, id, listener)
  }

  async #standing(tenant: TenantId, id: string): Promise<Standing> {
    return readStanding(id, (most) => this.#run('conversation-standing', tenant, id, most), this.#look)
  }

  // ------------------------------------------------------------ changing

  async rename(tenant: TenantId, id: string, name: string): Promise<boolean> {
    return (await this.#run('conversation-tell', tenant, id, 'renamed', name)) === 1
  }

  /** A few turns in each step, the newest first: until it is done, the conversation just ends earlier. */
  async truncate(tenant: TenantId, id: string, keepTurns: number): Promise<boolean> {
    const plan = await this.#plan(tenant, id, keepTurns)
    if (plan === null) return false
    if (plan.cut !== null) {
      await this.#eraseJobs(plan.jobs.filter(({ seq }) => seq >= plan.cut!))
      await this.#cut(tenant, id, plan.cut, plan.newest)
    }
    return (await this.#run('conversation-tell', tenant, id, 'truncated', '')) === 1
  }

  /** Removes everything accepted before this call, queued and running jobs included; what comes later stays. */
  async delete(tenant: TenantId, id: string): Promise<boolean> {
    const plan = await this.#plan(tenant, id, '')
    if (plan === null) return false
    await this.#eraseJobs(plan.jobs)
    await this.#cut(tenant, id, BEFORE_ALL, plan.newest)
    return (await this.#run('conversation-close', tenant, id, plan.newest)) === 1
  }

  /** Of a job that ended and is being erased. */
  async eraseTurn(tenant: TenantId, id: string, job: JobId): Promise<void> {
    await this.#run('conversation-erase', tenant, id, job)
  }

  /** Removes all conversations of a tenant. */
  async removeTenant(tenant: TenantId): Promise<void> {
    for (;;) {
      const { conversations } = await this.list(tenant, { limit: TURNS_A_STEP })
      if (conversations.length === 0) return
      for (const { id } of conversations) await this.delete(tenant, id)
    }
  }

  async #plan(tenant: TenantId, id: string, keep: number | ''): Promise<Plan | null> {
    const found = (await this.#run('conversation-plan', tenant, id, keep)) as string[] | null
    if (found === null) return null
    const [newest, cut, ...rest] = found
    const jobs: Planned[] = []
    for (let i = 0; i < rest.length; i += 2) jobs.push({ id: rest[i], seq: Number(rest[i + 1]) })
    return { newest: Number(newest), cut: cut === '' ? null : Number(cut), jobs }
  }

  /** The newest first, so that none starts because the one before it has ended. */
  async #eraseJobs(jobs: readonly Planned[]): Promise<void> {
    for (let end = jobs.length; end > 0; end -= JOBS_A_STEP) {
      const some = jobs.slice(Math.max(0, end - JOBS_A_STEP), end).reverse()
      await Promise.all(some.map(({ id }) => this.#eraseJob(id)))
    }
  }

  /** Removes the turns with these order numbers, both included. */
  async #cut(tenant: TenantId, id: string, from: number, until: number): Promise<void> {
    const step = (): Promise<unknown> =>
      this.#run('conversation-cut', tenant, id, from, until, TURNS_A_STEP, BYTES_A_STEP)
    while ((await step()) !== 0);
  }

  async #run(script: string, ...args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.#parts.scripts.run(script, args)
    } catch (error) {
      throw storageError(error)
    }
  }

  async #runBuffer(script: string, ...args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.#parts.scripts.runBuffer(script, args)
    } catch (error) {
      throw storageError(error)
    }
  }
}

interface Planned {
  readonly id: JobId
  readonly seq: number
}

interface Plan {
  /** Of its newest turn or job: what comes later is not touched. */
  readonly newest: number
  /** From here on it is cut; null: it is not that long. */
  readonly cut: number | null
  /** Not ended, in order. */
  readonly jobs: readonly Planned[]
}

/** A position in the list: the last conversation before it. */
function placeOf(cursor: string): string {
  const match = /^(\d{1,16})-[\w-]*$/.exec(cursor)
  if (match === null)
    throw new SluiceError('cursor_invalid', {
      param: 'after',
      message: '"after" is not a place in this list: pass the "next" of the page before.',
    })
  return match[1]
}
