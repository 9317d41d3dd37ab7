/**
 * Processes that share token logs in one Redis, and of the coordinator only what a log needs: it accepts, leases and
 * ends at once, and keeps nothing outside Redis.
 */
import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { systemClock, Wheel } from '../../src/core/clock.ts'
import { systemIds } from '../../src/core/ids.ts'
import type { Job, JobId } from '../../src/core/job.ts'
import type { LogWriter } from '../../src/core/ports/log.ts'
import type { Lease } from '../../src/core/ports/work.ts'
import { type Bytes, endRecord, isEnd } from '../../src/core/record.ts'
import { Connection, PING_MS } from '../../src/engines/redis/client/connection.ts'
import { Names } from '../../src/engines/redis/client/names.ts'
import { Scripts } from '../../src/engines/redis/client/scripts.ts'
import { randomOf } from '../../src/engines/redis/log/flush.ts'
import { Logs } from '../../src/engines/redis/log/log.ts'

const ids = systemIds()
const lua = (name: string): string =>
  readFileSync(new URL(`../../src/engines/redis/lua/${name}.lua`, import.meta.url), 'utf8')
/** What `-- include log` puts before a script. */
const libraryOf = (bend: Bend): string =>
  `local PUBLISH, NUMSUB = 'PUBLISH', 'NUMSUB'\n${lua('prelude')}${bend('log', lua('log'))}`

/** Changes a script, to plant a bug. */
export type Bend = (name: string, text: string) => string

/** Scripts with a bug. */
function bentScripts({ client }: Connection, shard: string, bend: Bend): Scripts {
  const text = (name: string): string => `${libraryOf(bend)}\n${bend(name, lua(name))}`
  const bent: Pick<Scripts, 'run' | 'runBuffer'> = {
    run: (name, args) => client.eval(text(name), 1, shard, ...args),
    runBuffer: (name, args) => client.callBuffer('EVAL', text(name), 1, shard, ...args),
  }
  return bent as Scripts
}

export class LogFleet {
  readonly redis: Redis
  readonly names = new Names()
  readonly processes: LogProcess[] = []
  readonly bend: Bend | null
  #order = 0

  constructor(port: number, bend: Bend | null = null) {
    this.bend = bend
    this.redis = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: null, retryStrategy: () => 20 })
    this.redis.on('error', () => {})
  }

  async join(url: string, subscriberUrl = url): Promise<LogProcess> {
    const process = new LogProcess(this, url, subscriberUrl)
    this.processes.push(process)
    await process.start()
    return process
  }

  close(): void {
    for (const process of this.processes) process.close()
    this.redis.disconnect()
  }

  /** Runs Lua that may use lua/log.lua. */
  eval(text: string, ...args: Array<string | number | Buffer>): Promise<unknown> {
    return this.redis.eval(
      `${libraryOf(this.bend ?? ((_, library) => library))}\n${text}`,
      1,
      this.names.shard,
      ...args,
    )
  }

  async accept(id = this.id()): Promise<JobId> {
    await this.redis.hset(this.names.live(), id, '{}')
    return id
  }

  id(): JobId {
    return ids.job(++this.#order)
  }

  /** As a commit that makes the process that submitted it the first follower of its log. */
  async acceptFor(process: LogProcess, id: JobId): Promise<void> {
    await this.redis.multi().hset(this.names.live(), id, '{}').hset(this.names.followers(), id, process.name).exec()
  }

  /** The fence of this attempt, of a worker of that process; what its lease tells of the log. */
  async lease(job: JobId, attempt: number, process: string): Promise<Lease['log']> {
    const text = `call('HSET', S .. ':run', ARGV[1], ARGV[2])
      local head = log_tip(ARGV[1])
      return { log_epoch(ARGV[3]), head }`
    const [epoch, head] = (await this.eval(text, job, `${attempt} ${process}.w {}`, randomOf(ids))) as number[]
    return { epoch, head }
  }

  /** No attempt runs. */
  async unlease(job: JobId): Promise<void> {
    await this.redis.hset(this.names.run(), job, '0 - {}')
  }

  /** As a commit that ends the job, and then answers `process`. */
  async end(job: JobId, process = ''): Promise<number> {
    const text = `local epoch, head = log_end(ARGV[1], ARGV[2], ARGV[3])
      call('HDEL', S .. ':run', ARGV[1])
      call('HDEL', S .. ':live', ARGV[1])
      call('PUBLISH', S .. ':p:' .. ARGV[4], ARGV[1])
      return head`
    const record = Buffer.from(endRecord({ state: 'done' }), 'latin1')
    return Number(await this.eval(text, job, record, randomOf(ids), process))
  }
}

export class LogProcess {
  readonly name = ids.name('p', 8).slice(2)
  readonly logs: Logs
  readonly commands: Connection
  readonly subscriber: Connection
  readonly fenced: string[] = []
  readonly #fleet: LogFleet
  readonly #ends = new Map<JobId, () => void>()
  #stopPings = (): void => {}

  constructor(fleet: LogFleet, url: string, subscriberUrl: string) {
    this.#fleet = fleet
    this.commands = new Connection({ url })
    this.subscriber = new Connection({ url: subscriberUrl })
    this.logs = new Logs({
      process: this.name,
      names: fleet.names,
      commands: this.commands,
      subscriber: this.subscriber,
      scripts:
        fleet.bend === null
          ? new Scripts(this.commands, fleet.names.shard)
          : bentScripts(this.commands, fleet.names.shard, fleet.bend),
      clock: systemClock,
      wheel: new Wheel(systemClock),
      ids,
      charge() {},
      decided: async () => {},
      fenced: (job, attempt) => void this.fenced.push(`${job} ${attempt}`),
    })
  }

  async start(): Promise<void> {
    await Promise.all([this.commands.open(), this.subscriber.open()])
    await this.logs.start()
    this.#stopPings = systemClock.every(PING_MS, () => this.subscriber.ping())
    const channel = this.#fleet.names.process(this.name)
    await this.subscriber.subscribe(channel, (job) => this.#ends.get(job.toString())?.())
  }

  /** Ends a job; resolves with the answer that its worker gets. */
  async end(job: JobId): Promise<void> {
    const answer = new Promise<void>((done) => void this.#ends.set(job, done))
    await this.#fleet.end(job, this.name)
    await answer
  }

  close(): void {
    this.#stopPings()
    this.logs.close()
    this.commands.close()
    this.subscriber.close()
  }

  async begin(job: JobId, attempt: number): Promise<LogWriter> {
    return this.open(job, attempt, await this.#fleet.lease(job, attempt, this.name))
  }

  open(job: JobId, attempt: number, log: Lease['log']): LogWriter {
    this.logs.begin(job, attempt, log)
    return this.logs.open({ job: { id: job } as Job, attempt } as Lease)
  }

  /** Reads as delivery does: follows, reads, drops what both brought, begins anew where history was lost. */
  reader(job: JobId, pageBytes = 4_000): LogReading {
    return new LogReading(this.logs, job, pageBytes)
  }
}

export class LogReading {
  readonly got: Bytes[] = []
  /** How often it began anew. */
  restarts = 0
  /** How often a run did not follow the one before. */
  gaps = 0
  /** It has all that was stored before, and is told the rest. */
  isLive = false
  readonly ended: Promise<readonly Bytes[]>
  readonly #logs: Logs
  readonly #job: JobId
  readonly #pageBytes: number
  #early: Array<readonly [number, readonly Bytes[]]> = []
  #isOver = false
  #reading = 0
  #end!: (got: readonly Bytes[]) => void
  #fail!: (error: unknown) => void
  readonly #stop: () => void

  constructor(logs: Logs, job: JobId, pageBytes: number) {
    this.#logs = logs
    this.#job = job
    this.#pageBytes = pageBytes
    this.ended = new Promise((end, fail) => {
      this.#end = end
      this.#fail = fail
    })
    this.ended.catch(() => {})
    const following = logs.follow(
      job,
      (firstSeq, run) => {
        if (this.isLive) this.#take(firstSeq, run)
        else this.#early.push([firstSeq, run])
      },
      () => {
        if (this.#isOver) return
        this.restarts++
        this.got.length = 0
        this.#early = []
        this.isLive = false
        this.#catchUp()
      },
    )
    this.#stop = following.stop
    Promise.resolve(following.ready).then((before) => this.#followed(before), this.#fail)
  }

  leave(): void {
    this.#isOver = true
    this.#stop()
  }

  /** `before`: what there was then; all of it was told already, or there is something to be read. */
  #followed(before: number | null): void {
    if (before === null || before > 0) this.#catchUp()
    else this.#goLive()
  }

  #catchUp(): void {
    this.#read(++this.#reading).catch((error: unknown) => {
      this.leave()
      this.#fail(error)
    })
  }

  async #read(reading: number): Promise<void> {
    for (;;) {
      const page = await this.#logs.read(this.#job, this.got.length, this.#pageBytes)
      if (reading !== this.#reading || this.#isOver) return
      if (page === null) throw new Error('gone')
      this.#take(page.firstSeq, page.records)
      if (this.got.length >= page.head) break
      if (page.records.length === 0) throw new Error('an empty page before the head')
    }
    this.#goLive()
  }

  #goLive(): void {
    this.isLive = true
    for (const [firstSeq, run] of this.#early.splice(0)) this.#take(firstSeq, run)
  }

  #take(firstSeq: number, run: readonly Bytes[]): void {
    if (this.#isOver) return
    const known = this.got.length + 1 - firstSeq
    if (known < 0) {
      // As delivery does: it reads what it missed
      this.gaps++
      this.isLive = false
      this.#catchUp()
      return
    }
    for (const record of run.slice(known)) this.got.push(record)
    if (this.got.length === 0 || !isEnd(this.got[this.got.length - 1])) return
    this.leave()
    this.#end(this.got)
  }
}
