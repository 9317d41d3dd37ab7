/** Lanes that remember: one row for each turn, written in the commit that ends its job. */
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Job, JobId, JobState, TenantId } from '../../../core/job.ts'
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
import { leadingInstructions, messagesOf } from '../../shared/messages.ts'
import { News } from '../../shared/news.ts'
import type { Age } from '../disk/age.ts'
import type { Positions } from '../disk/positions.ts'
import type { Store } from '../disk/store.ts'
import type { LiveJob, LiveJobs } from '../jobs/live-job.ts'
import { conversationSql } from './sql.ts'

/** Bytes that a turn counts in addition to its texts. */
export const TURN_BYTES = 256
/** Most jobs in the state that a watcher is sent. */
const MAX_STANDING_JOBS = 100
/** Most that one commit removes: large turns take long to free. */
const TURNS_A_STEP = 64
const BYTES_A_STEP = 4 << 20
/** Jobs that are canceled and erased in one step. */
const JOBS_A_STEP = 32
const NEWEST = Number.MAX_SAFE_INTEGER

/** A conversation's first turn. */
interface First {
  readonly ord: number
  readonly messages: string
}

interface Size {
  readonly ord: number
  readonly bytes: number
}

/** What is to be removed from a conversation. */
export interface Excess {
  readonly turns: number
  readonly bytes: number
  /** At most this many turns go. */
  readonly atMost: number
}

export class ConversationStore implements Conversations {
  readonly news: News
  /** Called in the commit that adds a turn. */
  onTurn: (tenant: TenantId, conversation: string) => void = () => {}
  readonly #store: Store
  readonly #live: LiveJobs
  readonly #clock: Clock
  readonly #age: Age
  readonly #positions: Positions
  /** Cancels a job if it has not ended, and removes it, its log and its turn. */
  readonly #eraseJob: (id: JobId) => Promise<unknown>
  readonly #sql: ReturnType<typeof conversationSql>

  constructor(
    store: Store,
    live: LiveJobs,
    clock: Clock,
    age: Age,
    positions: Positions,
    eraseJob: (id: JobId) => Promise<unknown>,
  ) {
    this.#positions = positions
    this.#eraseJob = eraseJob
    this.#store = store
    this.#live = live
    this.#clock = clock
    this.#age = age
    this.#sql = conversationSql(store.db)
    this.news = new News(clock, (tenant, id) => this.news.tell(tenant, id, this.#standing(tenant, id)))
  }

  /** Inside the commit that accepts the job: from then on its conversation exists. */
  open({ tenant, options, acceptedAtMs }: Job, order: number): void {
    if (options.conversation !== undefined)
      this.#sql.open.run(tenant, options.conversation, Math.floor(acceptedAtMs), order, this.#age.now())
  }

  /** Inside the commit that ends the job. */
  addTurn(job: Job, order: number, body: Uint8Array, state: JobState, answer: string | null, atMs: number): void {
    const { tenant } = job
    const conversation = job.options.conversation!
    const messages = messagesOf(body)
    const known = this.#sql.get.get(tenant, conversation) as unknown as ConversationInfo | undefined
    this.#sql.touch.run(tenant, conversation, Math.floor(atMs), order, this.#age.now())
    if (known === undefined || known.turns === 0) this.#begin(tenant, conversation, { ord: order, messages })
    const bytes = Buffer.byteLength(messages) + (answer === null ? 0 : Buffer.byteLength(answer)) + TURN_BYTES
    this.#sql.insert.run(order, tenant, conversation, job.id, state, bytes, messages, answer)
    this.#count(tenant, conversation, 1, bytes)
    this.onTurn(tenant, conversation)
  }

  /** Inside a commit. */
  removeTurn(tenant: TenantId, conversation: string, order: number): void {
    const turn = this.#sql.size.get(tenant, conversation, order) as unknown as Size | undefined
    if (turn !== undefined) this.#remove(tenant, conversation, turn)
    // Erased instructions no longer apply
    const first = (this.#sql.first.get(tenant, conversation) as { first_ord: number | null } | undefined)?.first_ord
    if (first === order)
      this.#begin(tenant, conversation, this.#sql.oldest.get(tenant, conversation) as First | undefined)
  }

  #begin(tenant: TenantId, conversation: string, first: First | undefined): void {
    const instructions = first === undefined ? null : leadingInstructions(first.messages)
    this.#sql.forget.run(tenant, conversation)
    this.#sql.begin.run(tenant, conversation, first?.ord ?? null)
    if (first !== undefined && instructions !== null) this.#sql.instruct.run(first.ord, instructions)
  }

  #remove(tenant: TenantId, conversation: string, { ord, bytes }: Size): void {
    if (this.#sql.remove.run(ord).changes === 0) return
    this.#count(tenant, conversation, -1, -bytes)
    this.#positions.forget(ord)
  }

  #count(tenant: TenantId, conversation: string, turns: number, bytes: number): void {
    this.#sql.count.run(tenant, conversation, turns, bytes)
    this.#sql.countTenant.run(tenant, bytes)
  }

  // ------------------------------------------------------------ reading

  async get(tenant: TenantId, id: string): Promise<ConversationInfo | null> {
    const info = this.#sql.get.get(tenant, id) as unknown as ConversationInfo | undefined
    return info === undefined ? null : { ...info }
  }

  async instructions(tenant: TenantId, id: string): Promise<string | null> {
    return (this.#sql.instructions.get(tenant, id) as { messages: string } | undefined)?.messages ?? null
  }

  async turns(tenant: TenantId, id: string, { from, beyond, limit, maxBytes }: TurnRange): Promise<TurnPage | null> {
    if (this.#sql.get.get(tenant, id) === undefined) return null
    const isBack = from === 'newest'
    const edge = beyond === undefined ? (isBack ? NEWEST : -1) : (this.#positions.of(beyond) ?? -1)
    const sizes = this.#sql[isBack ? 'sizesBack' : 'sizes'].all(tenant, id, edge, limit + 1) as unknown as Size[]
    const taken = within(sizes, limit, maxBytes)
    const turns = taken.map(({ ord }) => ({ ...(this.#sql.turn.get(ord) as unknown as Turn) }))
    return { turns, more: sizes.length > taken.length }
  }

  async list(tenant: TenantId, { limit, scope = '', after }: ConversationRange): Promise<ConversationPage> {
    const [lastOrd, lastId] = after === undefined ? [NEWEST, ''] : placeOf(after)
    const rows = (scope === ''
      ? this.#sql.list.all(tenant, lastOrd, lastId, limit + 1)
      : this.#sql.listScoped.all(tenant, lastOrd, lastId, limit + 1, scope)) as unknown as Array<
      ConversationInfo & { readonly lastOrd: number }
    >
    const last = rows.length > limit ? rows[limit - 1] : undefined
    return {
      conversations: rows.slice(0, limit).map(({ lastOrd: _ord, ...info }) => info),
      next: last === undefined ? null : `${last.lastOrd}-${Buffer.from(last.id, 'utf8').toString('base64url')}`,
    }
  }

  watch(tenant: TenantId, id: string, listener: (news: ConversationNews) => void): () => void {
    listener(this.#standing(tenant, id))
    return this.news.add(tenant, id, listener)
  }

  #standing(tenant: TenantId, id: string): ConversationNews {
    const jobs: Job[] = []
    let more = false
    for (const live of this.#live.ofConversation(tenant, id)) {
      if (this.#sql.isStored.get(live.log.order) === undefined) continue // not committed yet: it is news when it is
      if (jobs.length === MAX_STANDING_JOBS) {
        more = true
        break
      }
      jobs.push(this.#live.show(live))
    }
    const info = this.#sql.get.get(tenant, id) as unknown as ConversationInfo | undefined
    const last = this.#sql.lastTurn.get(tenant, id) as { readonly job: JobId } | undefined
    return {
      type: 'standing',
      info: info === undefined ? null : { ...info },
      lastTurn: last?.job ?? null,
      jobs,
      places: this.#live.places(jobs, this.#clock.monoMs()),
      more,
    }
  }

  async rename(tenant: TenantId, id: string, name: string): Promise<boolean> {
    const done = await this.#change(() => Number(this.#sql.rename.run(tenant, id, name).changes) > 0)
    if (done) this.news.tell(tenant, id, { type: 'renamed', name })
    return done
  }

  /** A few turns in each commit, the newest first: until it is done, the conversation just ends earlier. */
  truncate(tenant: TenantId, id: string, keepTurns: number): Promise<boolean> {
    return this.#store.ifUp(() => this.#truncate(tenant, id, keepTurns))
  }

  async #truncate(tenant: TenantId, id: string, keepTurns: number): Promise<boolean> {
    const info = this.#sql.get.get(tenant, id) as unknown as ConversationInfo | undefined
    if (info === undefined) return false
    const jobs = this.#unfinished(tenant, id)
    const until = this.#newest(tenant, id, jobs)
    const cut = this.#orderAt(tenant, id, keepTurns, info.turns, jobs)
    if (cut !== undefined) {
      await this.#eraseJobs(jobs.filter(({ log }) => log.order >= cut))
      await this.#cut(tenant, id, cut, until)
    }
    const done = await this.#change(() => this.#sql.get.get(tenant, id) !== undefined)
    if (done) this.news.tell(tenant, id, { type: 'truncated' })
    return done
  }

  async delete(tenant: TenantId, id: string): Promise<boolean> {
    const done = await this.#store.ifUp(() => this.erase(tenant, id))
    if (done) this.news.tell(tenant, id, { type: 'deleted' })
    return done
  }

  /** Removes everything accepted before this call, queued and running jobs included; what comes later stays. */
  async erase(tenant: TenantId, id: string): Promise<boolean> {
    if (this.#sql.get.get(tenant, id) === undefined) return false
    const jobs = this.#unfinished(tenant, id)
    const until = this.#newest(tenant, id, jobs)
    await this.#eraseJobs(jobs)
    await this.#cut(tenant, id, -1, until)
    return this.#change(() => {
      const next = this.#sql.oldest.get(tenant, id) as First | undefined
      const isKept = next !== undefined || this.#unfinished(tenant, id).some(({ log }) => log.order > until)
      if (!isKept) {
        this.#sql.forget.run(tenant, id)
        return Number(this.#sql.delete.run(tenant, id).changes) > 0
      }
      this.#begin(tenant, id, next)
      return Number(this.#sql.rename.run(tenant, id, null).changes) > 0
    })
  }

  /** Its unfinished jobs, in order. */
  #unfinished(tenant: TenantId, id: string): readonly LiveJob[] {
    return [...this.#live.ofConversation(tenant, id)].sort((a, b) => a.log.order - b.log.order)
  }

  /** The order number of its newest job or turn. */
  #newest(tenant: TenantId, id: string, jobs: readonly LiveJob[]): number {
    const [turn] = this.#sql.sizesBack.all(tenant, id, NEWEST, 1) as unknown as Size[]
    return Math.max(turn?.ord ?? -1, jobs.at(-1)?.log.order ?? -1)
  }

  /** The order number of the turn at this index, where an unfinished job counts as the turn that it will be. */
  #orderAt(tenant: TenantId, id: string, place: number, turns: number, jobs: readonly LiveJob[]): number | undefined {
    const after = jobs[0]?.log.order ?? NEWEST
    // Few: those that were canceled while queued
    const mixed = this.#sql.sizes.all(tenant, id, after, NEWEST) as unknown as Size[]
    const before = turns - mixed.length
    if (place < before) return (this.#sql.nth.get(tenant, id, place) as Size | undefined)?.ord
    const orders = [...mixed.map(({ ord }) => ord), ...jobs.map(({ log }) => log.order)]
    return orders.sort((a, b) => a - b)[place - before]
  }

  /** The newest first, so that none starts because the one before it has ended. */
  async #eraseJobs(jobs: readonly LiveJob[]): Promise<void> {
    for (let end = jobs.length; end > 0; end -= JOBS_A_STEP) {
      const some = jobs.slice(Math.max(0, end - JOBS_A_STEP), end).reverse()
      await Promise.all(some.map(({ job }) => this.#eraseJob(job.id)))
      await new Promise<void>((next) => this.#clock.soon(next))
    }
  }

  /** Removes all conversations of a tenant; committed when resolved. */
  async removeTenant(tenant: TenantId): Promise<void> {
    for (;;) {
      const { conversations } = await this.list(tenant, { limit: TURNS_A_STEP })
      if (conversations.length === 0) break
      for (const { id } of conversations) await this.erase(tenant, id)
    }
    await this.#store.run(() => void this.#sql.forgetTenant.run(tenant), true)
    this.news.tellAll(tenant, { type: 'deleted' })
  }

  /** Removes the turns with these order numbers, both included. */
  async #cut(tenant: TenantId, id: string, from: number, until: number): Promise<void> {
    for (;;) {
      const sizes = this.#sql.sizesBack.all(tenant, id, until + 1, TURNS_A_STEP) as unknown as Size[]
      if (
        !(await this.#removeSome(
          tenant,
          id,
          sizes.filter(({ ord }) => ord >= from),
        ))
      )
        return
    }
  }

  /**
   * Removes the oldest turns until `turns` and `bytes` are freed, at most `atMost` turns and no more than one commit
   * may remove. False: there was none.
   */
  async dropOldest(tenant: TenantId, id: string, { turns, bytes, atMost }: Excess): Promise<boolean> {
    const sizes = this.#sql.sizes.all(tenant, id, -1, Math.min(atMost, TURNS_A_STEP)) as unknown as Size[]
    let n = 0
    for (let freed = 0; n < sizes.length && (n < turns || freed < bytes); n++) freed += sizes[n].bytes
    const done = await this.#removeSome(tenant, id, sizes.slice(0, n))
    if (done) this.news.tell(tenant, id, { type: 'truncated' })
    return done
  }

  async #removeSome(tenant: TenantId, id: string, sizes: readonly Size[]): Promise<boolean> {
    const some = within(sizes, TURNS_A_STEP, BYTES_A_STEP)
    if (some.length === 0) return false
    await this.#store.run(() => {
      for (const turn of some) this.#remove(tenant, id, turn)
    }, true)
    await new Promise<void>((next) => this.#clock.soon(next))
    return true
  }

  async #change(change: () => boolean): Promise<boolean> {
    let changed = false
    await this.#store.run(() => {
      changed = change()
    }, false)
    await this.#store.synced()
    return changed
  }
}

/** As many as fit, at least one. */
function within(sizes: readonly Size[], limit: number, maxBytes: number): readonly Size[] {
  let n = 0
  for (let bytes = 0; n < sizes.length && n < limit; n++) {
    bytes += sizes[n].bytes
    if (n > 0 && bytes > maxBytes) break
  }
  return sizes.slice(0, n)
}

/** A position in the list: the last conversation before it. */
function placeOf(cursor: string): readonly [number, string] {
  const match = /^(\d{1,16})-([\w-]*)$/.exec(cursor)
  if (match === null)
    throw new SluiceError('cursor_invalid', {
      param: 'after',
      message: '"after" is not a place in this list: pass the "next" of the page before.',
    })
  return [Number(match[1]), Buffer.from(match[2], 'base64url').toString('utf8')]
}
