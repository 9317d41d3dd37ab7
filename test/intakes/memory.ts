/** A broker in memory, for suites of what is in front of it and behind it: as one queue of RabbitMQ for each pool. */
import { SluiceError } from '../../src/core/errors.ts'
import type { Intake, Publication, Take, Verdict } from '../../src/core/ports/intake.ts'
import type { DeadLetter, IntakeOptions, Rig } from '../conformance/intake.ts'

interface Consumer {
  readonly options: IntakeOptions
  readonly take: Take
  isDraining: boolean
}

interface Queue {
  readonly pool: string
  ready: Publication[]
  /** Handed over, without a verdict. */
  unsettled: Publication[]
  readonly dead: DeadLetter[]
}

const unavailable = (): SluiceError => new SluiceError('intake_unavailable')

export class MemoryBroker implements Rig {
  readonly #queues = new Map<string, Queue>()
  /** In the order in which they came: the first one of a pool is the active one. */
  #consumers: Consumer[] = []
  /** Grows with each kill and cut: verdicts from before it are lost. */
  #life = 0
  isUp = true

  queue(pool: string): Queue {
    let queue = this.#queues.get(pool)
    if (queue === undefined) {
      queue = { pool, ready: [], unsettled: [], dead: [] }
      this.#queues.set(pool, queue)
    }
    return queue
  }

  async open(options: IntakeOptions): Promise<Intake> {
    return this.connect(options)
  }

  readonly #ofIntake = new WeakMap<Intake, () => Consumer | null>()

  connect(options: IntakeOptions): Intake {
    let consumer: Consumer | null = null
    let isClosed = false
    const born = this.#life
    const leave = (): void => {
      if (consumer === null) return
      this.#consumers = this.#consumers.filter((one) => one !== consumer)
      for (const pool of options.pools) this.#giveBack(this.queue(pool))
      consumer = null
    }
    const drain = async (withinMs: number): Promise<void> => {
      if (consumer === null) return
      consumer.isDraining = true
      const held = (): boolean => options.pools.some((pool) => this.queue(pool).unsettled.length > 0)
      for (let left = withinMs / 10; left > 0 && held(); left--) await new Promise((go) => setTimeout(go, 10))
      leave()
    }
    const intake: Intake = {
      name: 'rabbitmq',
      publish: async (publication) => {
        if (isClosed || !this.isUp) throw unavailable()
        this.queue(publication.pool).ready.push({ ...publication, payload: Uint8Array.from(publication.payload) })
        await new Promise((go) => setImmediate(go))
        this.#pump()
      },
      consume: (take) => {
        consumer = { options, take, isDraining: false }
        this.#consumers.push(consumer)
        this.#pump()
      },
      health: () => (this.isUp ? { ok: true } : { ok: false, error: unavailable() }),
      reconnects: () => this.#life - born,
      held: () => new Map(options.pools.map((pool) => [pool, this.queue(pool).unsettled.length])),
      drain,
      close: async () => {
        isClosed = true
        leave()
      },
    }
    this.#ofIntake.set(intake, () => consumer)
    return intake
  }

  #pump(): void {
    if (!this.isUp) return
    for (const queue of this.#queues.values()) {
      const active = this.#consumers.find(({ options }) => options.pools.includes(queue.pool))
      if (active === undefined || active.isDraining) continue
      while (queue.ready.length > 0 && queue.unsettled.length < active.options.window) {
        const next = queue.ready.shift()!
        queue.unsettled.push(next)
        void this.#hand(queue, next, active)
      }
    }
  }

  async #hand(queue: Queue, publication: Publication, { take }: Consumer): Promise<void> {
    const life = this.#life
    let verdict: Verdict | null = null
    try {
      verdict = await take({ pool: queue.pool, id: publication.id, payload: publication.payload })
    } catch {
      // It stays
    }
    if (life !== this.#life || !queue.unsettled.includes(publication) || verdict === null) return
    queue.unsettled = queue.unsettled.filter((one) => one !== publication)
    if (verdict.kind === 'dead')
      queue.dead.push({
        payload: Buffer.from(publication.payload).toString(),
        code: verdict.code,
        reason: verdict.reason,
      })
    this.#pump()
  }

  #giveBack(queue: Queue): void {
    queue.ready = [...queue.unsettled, ...queue.ready]
    queue.unsettled = []
    setImmediate(() => this.#pump())
  }

  async crash(intake: Intake): Promise<void> {
    const consumer = this.#ofIntake.get(intake)?.() ?? null
    this.#consumers = this.#consumers.filter((one) => one !== consumer)
    for (const queue of this.#queues.values()) this.#giveBack(queue)
  }

  async killBroker(): Promise<void> {
    this.isUp = false
    await this.cut()
  }

  async startBroker(): Promise<void> {
    this.isUp = true
    this.#pump()
  }

  async cut(): Promise<void> {
    this.#life++
    for (const queue of this.#queues.values()) this.#giveBack(queue)
  }

  async dead(pool: string): Promise<readonly DeadLetter[]> {
    return this.queue(pool).dead
  }

  async close(): Promise<void> {}
}
