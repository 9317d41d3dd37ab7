/** Runs a host in a thread of its own, and starts another one where a thread has died. */
import { Worker } from 'node:worker_threads'
import type { Clock } from '../../../core/clock.ts'
import type { Emit, Happened } from '../../../core/facts.ts'
import type { PlanModel } from '../../../core/ports/coordinator.ts'
import type { RedisAddress } from '../client/connection.ts'
import { unavailable } from '../client/errors.ts'
import type { Chores } from './host.ts'
import type { Decisions, Rules } from './parts.ts'

/** The thread imports it: a machine can't be sent to it. */
export interface DecisionsModule {
  openDecisions(options: unknown): Decisions
}

export interface HostData {
  readonly redis: RedisAddress
  readonly rules: Omit<Rules, 'keepMs'>
  /** URL of a DecisionsModule, and the settings that it is opened with. */
  readonly module: string
  readonly options: unknown
}

export type ToHost =
  | { readonly type: 'configure'; readonly models: readonly PlanModel[]; readonly settings: unknown }
  | { readonly type: 'adjust'; readonly settings: object }
  | { readonly type: 'stop' }

export type FromHost =
  | { readonly type: 'started' }
  | { readonly type: 'refused'; readonly message: string }
  | { readonly type: 'acting'; readonly is: boolean }
  | { readonly type: 'facts'; readonly facts: readonly Happened[] }
  | { readonly type: 'stopped' }

/** A thread that has died is followed by another one after this. */
const AGAIN_MS = 1_000
/** A stop of a thread that does not answer. */
const STOP_MS = 2_000
/** Whole lines of src run as they are; what was published is JavaScript. */
const ENTRY = new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url)

export class HostThread {
  readonly #clock: Clock
  readonly #emit: Emit
  readonly #chores: Chores
  #data: HostData
  #thread: Worker | null = null
  #own: object = {}
  #isActing = false
  #stopped = false
  #cancelRestart = (): void => {}

  constructor(data: HostData, clock: Clock, emit: Emit, chores: Chores) {
    this.#data = data
    this.#clock = clock
    this.#emit = emit
    this.#chores = chores
  }

  get isActing(): boolean {
    return this.#isActing
  }

  /** Rejects with storage_unavailable where its first thread can't reach Redis, or is refused. */
  start(): Promise<void> {
    return new Promise((started, refused) => this.#run(started, (message) => refused(unavailable(message))))
  }

  /** The settings were reloaded; a thread that follows another one begins with them. */
  configure(models: readonly PlanModel[], settings: unknown): void {
    this.#data = { ...this.#data, options: { ...(settings as object), ...this.#own } }
    this.#tell({ type: 'configure', models, settings })
  }

  /** Groups of its settings that each process is told of by the store. */
  adjust(settings: object): void {
    this.#own = settings
    this.#data = { ...this.#data, options: { ...(this.#data.options as object), ...settings } }
    this.#tell({ type: 'adjust', settings })
  }

  /** Hands over. Never rejects. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#cancelRestart()
    const thread = this.#thread
    if (thread === null) return
    const gone = new Promise<void>((done) => thread.once('exit', () => done()))
    this.#tell({ type: 'stop' })
    const late = this.#clock.after(STOP_MS, () => void thread.terminate())
    await gone
    late()
  }

  /** As if its process were killed. */
  kill(): void {
    this.#stopped = true
    this.#cancelRestart()
    void this.#thread?.terminate()
  }

  #tell(message: ToHost): void {
    this.#thread?.postMessage(message)
  }

  #run(started: () => void, refused: (message: string) => void): void {
    const thread = new Worker(ENTRY, { workerData: this.#data })
    let why = 'its thread has ended'
    this.#thread = thread
    thread.on('message', (message: FromHost) => {
      if (message.type === 'facts') for (const fact of message.facts) this.#emit(fact)
      else if (message.type === 'acting') this.#act(message.is)
      else if (message.type === 'started') started()
      else if (message.type === 'refused') {
        why = message.message
        void thread.terminate()
      }
    })
    thread.on('error', (error) => {
      why = error instanceof Error ? (error.stack ?? error.message) : String(error)
    })
    thread.once('exit', () => {
      this.#thread = null
      this.#act(false)
      refused(why)
      if (this.#stopped) return
      this.#emit({ type: 'store-degraded', code: 'internal', detail: `The coordinator's thread: ${why}` })
      const nothing = (): void => {}
      this.#cancelRestart = this.#clock.after(AGAIN_MS, () => this.#run(nothing, nothing))
    })
  }

  #act(is: boolean): void {
    if (this.#isActing === is) return
    this.#isActing = is
    if (is) this.#chores.start()
    else this.#chores.stop()
  }
}
