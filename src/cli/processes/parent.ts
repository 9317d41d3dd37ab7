/**
 * Starts the processes that share a server's ports, and supervises them: one that ends by itself is followed by
 * another. It serves nobody: Node hands connections to its children in turn, so that one that dies refuses none.
 */
import cluster, { type Worker } from 'node:cluster'
import type { Question } from '../../app/siblings.ts'
import type { Clock } from '../../core/clock.ts'
import { EXIT } from '../command.ts'
import type { ServerLog } from '../log.ts'
import type { Ready } from '../screen.ts'
import { hasLostTerminal } from '../signals.ts'
import { chooseHandOver, handOnWhenDead } from './hand-over.ts'
import type { Answer, FromChild, PackedError, ToChild } from './messages.ts'
import { environmentFor } from './nth.ts'

/** A process that has ended is followed by another one after this, twice as long each time up to the most. */
const AGAIN_MS = 200
const AGAIN_MOST_MS = 30_000
/** One that ran for this long begins with the shortest again. */
const STEADY_MS = 60_000
/** Each child's answer; a reload reads files. */
const ANSWER_MS = 5_000
/** A child's own stop is bounded; one that is stuck all the same is killed after this. */
const STUCK_AFTER_MS = 14_000

interface Sibling {
  /** Its number, which one that follows it has too. */
  readonly nth: number
  readonly worker: Worker
  ready: Ready | null
  /** Why it takes no work. */
  refusal: PackedError | null
  /** What it was asked, by number. */
  readonly asked: Map<number, (answer: Answer | null) => void>
}

export interface ParentOptions {
  /** How many. */
  readonly processes: number
  /** Command line of each, without Node and the program. */
  readonly args: readonly string[]
  readonly drainMs: number
}

export class Parent {
  readonly #options: ParentOptions
  readonly #log: ServerLog
  readonly #clock: Clock
  readonly #siblings = new Set<Sibling>()
  /** All were ready once. */
  #isUp = false
  #failures = 0
  #n = 0
  #isNoted = false
  #stopping = false
  #exitCode: number = EXIT.ok
  #gone!: (exitCode: number) => void
  /** Resolves with the exit code when all have ended. */
  readonly ended: Promise<number>

  constructor(options: ParentOptions, log: ServerLog, clock: Clock) {
    this.#options = options
    this.#log = log
    this.#clock = clock
    this.ended = new Promise((resolve) => (this.#gone = resolve))
    const note = chooseHandOver()
    if (note !== null) log.info({}, note)
    cluster.setupPrimary({ args: [...options.args] })
  }

  /**
   * Starts all; resolves when they are ready, or with null when the start failed or was stopped: then `ended` follows.
   * The first one goes ahead: what keeps it from starting is told once, and what it makes the others find.
   */
  async start(): Promise<Ready | null> {
    const first = await this.#start(1)
    if (first === null || this.#stopping) return null
    const others = await Promise.all(Array.from({ length: this.#options.processes - 1 }, (_, i) => this.#start(i + 2)))
    this.#isUp = !others.includes(null)
    return this.#isUp ? first : null
  }

  /** Each of them does with it what a single process would. */
  readonly signal = (signal: NodeJS.Signals): void => {
    const isReload = signal === 'SIGUSR2' || (signal === 'SIGHUP' && !hasLostTerminal())
    if (!isReload && !this.#stopping) this.#stop()
    for (const { worker } of this.#siblings) worker.process.kill(signal)
    if (this.#stopping) this.#endIfAlone()
  }

  #notAsKnown(): void {
    if (this.#isNoted) return
    this.#isNoted = true
    const { node } = process.versions
    this.#log.warn({ node }, 'this Node hands connections over in another way: one may be lost when a process dies')
  }

  #stop(): void {
    this.#stopping = true
    this.#clock.after(this.#options.drainMs + STUCK_AFTER_MS, () => {
      for (const { worker } of this.#siblings) worker.process.kill('SIGKILL')
    })
  }

  /** Null: it has ended before it was ready. */
  #start(nth: number): Promise<Ready | null> {
    const worker = cluster.fork(environmentFor(nth))
    handOnWhenDead(worker, this.#clock, () => this.#notAsKnown())
    const sibling: Sibling = { nth, worker, ready: null, refusal: null, asked: new Map() }
    const startedMono = this.#clock.monoMs()
    this.#siblings.add(sibling)
    return new Promise((resolve) => {
      worker.on('message', (message: FromChild) => {
        if (message.type === 'ready') {
          sibling.ready = message.ready
          resolve(message.ready)
        }
        this.#hear(sibling, message)
      })
      worker.on('error', (err) =>
        this.#log.error({ err, child: nth, pid: worker.process.pid }, 'a process could not be told'),
      )
      worker.once('exit', (code, signal) => {
        this.#siblings.delete(sibling)
        for (const answered of sibling.asked.values()) answered(null)
        this.#tellHealth()
        resolve(null)
        this.#ended(sibling, code, signal, this.#clock.monoMs() - startedMono)
      })
    })
  }

  #ended({ nth, worker, ready }: Sibling, code: number, signal: string | null, ranMs: number): void {
    const which = { child: nth, pid: worker.process.pid }
    if (this.#stopping) {
      // One that has only just been started does not hear of a stop yet: the signal itself ends it, and nothing ran
      const isOrderly = code === EXIT.ok || (ready === null && signal !== null && signal !== 'SIGKILL')
      if (!isOrderly && this.#exitCode === EXIT.ok) this.#exitCode = code || EXIT.failed
      this.#endIfAlone()
      return
    }
    if (!this.#isUp) {
      // Its own log has told why, where it could
      if (signal !== null) this.#log.fatal({ ...which, signal }, 'a process was killed before all were ready')
      this.#exitCode = code || EXIT.failed
      this.#stop()
      for (const { worker } of this.#siblings) worker.process.kill('SIGTERM')
      this.#endIfAlone()
      return
    }
    this.#failures = ranMs > STEADY_MS ? 1 : this.#failures + 1
    const againMs = Math.min(AGAIN_MOST_MS, AGAIN_MS * 2 ** (this.#failures - 1))
    this.#log.error({ ...which, code, signal, again_in_ms: againMs }, 'a process ended by itself: another one follows')
    this.#clock.after(againMs, () => {
      if (!this.#stopping) void this.#start(nth)
    })
  }

  #endIfAlone(): void {
    if (this.#siblings.size === 0) this.#gone(this.#exitCode)
  }

  #hear(from: Sibling, message: FromChild): void {
    if (message.type === 'health') {
      from.refusal = message.error
      this.#tellHealth()
    } else if (message.type === 'answer') from.asked.get(message.n)?.(message.answer)
    else if (message.type === 'ask') void this.#ask(from, message.n, message.question)
  }

  /** Asks all that serve, and tells who asked. */
  async #ask(from: Sibling, n: number, question: Question): Promise<void> {
    const serving = [...this.#siblings].filter(({ ready }) => ready !== null)
    const answers = await Promise.all(serving.map((sibling) => this.#answer(sibling, question)))
    send(from, { type: 'answers', n, answers: answers.filter((answer) => answer !== null) })
  }

  /** Null: none in time. */
  #answer(sibling: Sibling, question: Question): Promise<Answer | null> {
    const n = ++this.#n
    return new Promise((resolve) => {
      const answered = (answer: Answer | null): void => {
        late()
        sibling.asked.delete(n)
        resolve(answer)
      }
      const late = this.#clock.after(ANSWER_MS, () => answered(null))
      sibling.asked.set(n, answered)
      send(sibling, { type: 'ask', n, question })
    })
  }

  #tellHealth(): void {
    for (const one of this.#siblings) {
      const other = [...this.#siblings].find((each) => each !== one && each.refusal !== null)
      send(one, { type: 'health', error: other?.refusal ?? null })
    }
  }
}

/** One that is gone needs no message. */
function send({ worker }: Sibling, message: ToChild): void {
  if (worker.isConnected()) worker.send(message, () => {})
}
