/** A fleet for tests, on a real Redis: hosts of the coordinator, and processes that submit and work. */
import { createCoordinator } from '../../src/coordinator/coordinator.ts'
import { type Clock, systemClock, Wheel } from '../../src/core/clock.ts'
import type { Happened } from '../../src/core/facts.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { JobId } from '../../src/core/job.ts'
import type { Coordinator } from '../../src/core/ports/coordinator.ts'
import type { Attachment, Lease, Worker } from '../../src/core/ports/work.ts'
import { type Ground, openGround } from '../../src/engines/redis/bus/ground.ts'
import { type Argument, Connection, type RedisAddress, type Script } from '../../src/engines/redis/client/connection.ts'
import { Host } from '../../src/engines/redis/coordinator/host.ts'
import { HostThread } from '../../src/engines/redis/coordinator/host-thread.ts'
import type { Rules } from '../../src/engines/redis/coordinator/parts.ts'
import { Logs } from '../../src/engines/redis/log/log.ts'
import type { SubmitAnswer } from '../../src/engines/redis/protocol/messages.ts'
import { type AttemptLogs, FleetWork } from '../../src/engines/redis/work/work.ts'
import { eventually, type Settings } from '../conformance/harness.ts'
import { coordinatorOptions } from '../conformance/settings.ts'
import { type DraftOptions, draft } from '../conformance/words.ts'

const ids = systemIds()

/** What a process reads logs with. */
export const logsOf = (ground: Ground): Logs =>
  new Logs({
    ...ground,
    process: ground.bus.process,
    wheel: new Wheel(ground.clock),
    decided: () => ground.bus.settled(),
    charge() {},
    fenced() {},
  })
let orders = 1_000

const RULES: Rules = { keepMs: () => 3_600_000, disconnectGraceMs: 15_000, joinAfterEndMs: 60_000, goneMs: 300 }

export interface HostSettings extends Settings {
  readonly clock?: Clock
  /** Scripts that Redis refuses, by name, as with a full disk; and how often it did. */
  readonly refused?: Map<string, number>
  /** Each commit goes by way of it. */
  readonly commits?: (run: () => Promise<unknown>) => Promise<unknown>
  readonly rules?: Partial<Rules>
  readonly coordinator?: (real: Coordinator) => Coordinator
}

class FaultyConnection extends Connection {
  readonly #faults: Pick<HostSettings, 'refused' | 'commits'>

  constructor(address: RedisAddress, faults: Pick<HostSettings, 'refused' | 'commits'>) {
    super(address)
    this.#faults = faults
  }

  override async evaluate(script: Script, args: readonly Argument[]): Promise<unknown> {
    const { refused, commits } = this.#faults
    const times = refused?.get(script.name)
    if (refused === undefined || times === undefined) {
      const run = (): Promise<unknown> => super.evaluate(script, args)
      return script.name === 'commit' && commits !== undefined ? commits(run) : run()
    }
    refused.set(script.name, times + 1)
    throw Object.assign(new Error('MISCONF Errors writing to the AOF file'), { name: 'ReplyError' })
  }
}

/** Its processes and hosts: all are ended by `close`. */
export class TestFleet {
  readonly url: string
  readonly facts: Happened[] = []
  /** When a thread's chores were called. */
  readonly chores: string[] = []
  /** Each has a part of the server to itself. */
  readonly #prefix = ids.name('fleet', 4)
  readonly #closes: Array<() => void | Promise<void>> = []

  constructor(url: string) {
    this.url = url
  }

  get address(): RedisAddress {
    return { url: this.url, prefix: this.#prefix }
  }

  async host(settings: HostSettings = {}, url: string = this.url): Promise<Host> {
    const { clock = systemClock, rules, coordinator = (real) => real } = settings
    const host = new Host({
      redis: { url, prefix: this.#prefix },
      rules: { ...RULES, ...rules },
      createCoordinator: () => coordinator(createCoordinator(coordinatorOptions(settings))),
      clock,
      ids,
      emit: (fact) => this.facts.push(fact),
      chores: { start() {}, stop() {} },
      connect: () => new FaultyConnection({ url, prefix: this.#prefix }, settings),
    })
    await host.start()
    this.#closes.unshift(() => host.stop())
    return host
  }

  /** A host as a server runs it. */
  async thread(options: Settings | 'broken' = {}): Promise<HostThread> {
    const { keepMs: _keep, ...rules } = RULES
    const module = new URL('./decisions.ts', import.meta.url).href
    const host = new HostThread(
      { redis: { url: this.url, prefix: this.#prefix }, rules, module, options },
      systemClock,
      (fact) => this.facts.push(fact),
      { start: () => this.chores.push('start'), stop: () => this.chores.push('stop') },
    )
    this.#closes.unshift(() => host.stop())
    await host.start()
    return host
  }

  /** `url`: by way of a proxy. */
  async process(url: string = this.url): Promise<TestProcess> {
    const process = new TestProcess(await openGround({ url, prefix: this.#prefix }, systemClock, ids, () => {}))
    this.#closes.push(() => process.kill())
    return process
  }

  async close(): Promise<void> {
    for (const close of this.#closes.splice(0)) await close()
  }
}

export class TestProcess {
  readonly ground: Ground
  readonly work: FleetWork
  readonly fenced: string[] = []
  reading: readonly JobId[] = []

  constructor(ground: Ground) {
    this.ground = ground
    const logs: AttemptLogs = {
      begin() {},
      taken: () => 0,
      settle: async () => {},
      store: async (_job, _attempt, entry) => {
        await ground.bus.put(entry)
        return 'stored'
      },
      fence: (job, attempt) => void this.fenced.push(`${job} ${attempt}`),
    }
    this.work = new FleetWork(ground, logs, () => this.reading)
  }

  /** Commands that were sent before are decided: a query would overtake them. */
  async settled(): Promise<void> {
    await this.ground.bus.ask({ type: 'resume', selector: { tenant: 'nobody' } })
  }

  /** As if its answer had been lost. */
  async submitAgain(id: JobId): Promise<readonly SubmitAnswer[]> {
    const { body, isRetry, ...facts } = draft()
    const item = { id, facts, bodyBytes: body.length, isRetry }
    const ask = { type: 'submit', re: true, untilMs: this.ground.time.nowMs() + 20_000, items: [item] } as const
    return this.ground.bus.ask(ask)
  }

  /** Resolves with what was decided, of each draft. */
  async submit(...options: readonly DraftOptions[]): Promise<readonly SubmitAnswer[]> {
    const { bus, commands, names } = this.ground
    const items = options.map((each) => {
      const { body, isRetry, ...facts } = draft(each)
      return { id: ids.job(++orders), facts, bodyBytes: body.length, isRetry, body }
    })
    for (const { id, body } of items)
      await eventually(async () => void (await commands.client.set(names.body(id), Buffer.from(body), 'EX', 60)))
    const untilMs = this.ground.time.nowMs() + 20_000
    return bus.ask({ type: 'submit', untilMs, items: items.map(({ body: _body, ...item }) => item) })
  }

  async accepted(options: DraftOptions = {}): Promise<JobId> {
    const [answer] = await this.submit(options)
    if (answer.kind !== 'accepted') throw new Error(`not accepted: ${JSON.stringify(answer)}`)
    return answer.id
  }

  /** Its connections are cut, without a goodbye. */
  kill(): void {
    this.work.close()
    this.ground.close()
  }

  worker(slots = 0, id = 'w'): RecordingWorker {
    return new RecordingWorker(this.work, slots, id)
  }
}

export class RecordingWorker implements Worker {
  readonly id: string
  readonly pools: readonly string[] = []
  readonly slots: number
  readonly taken: Lease[] = []
  readonly heard: string[] = []
  readonly attachment: Attachment

  constructor(work: FleetWork, slots: number, id: string) {
    this.id = id
    this.slots = slots
    this.attachment = work.attach(this)
  }

  cut(): void {}

  leased(leases: readonly Lease[]): void {
    for (const lease of leases) {
      this.taken.push(lease)
      this.heard.push(`leased ${lease.job.id} ${lease.attempt}`)
    }
  }

  revoked(job: JobId, attempt: number, reason: string): void {
    this.heard.push(`${reason} ${job} ${attempt}`)
  }
}
