/** A job inside the scheduler, from submit to its end. */
import type { JobState } from '../../core/job.ts'
import type { FailedAt, ScheduledJob } from '../../core/ports/coordinator.ts'
import type { Claim } from '../../core/ports/work.ts'
import type { Hold } from '../limits/limits.ts'
import type { Crowd, Crowding } from './crowds.ts'
import type { Flow, Line, Tenant } from './flow.ts'
import type { Lane } from './lanes.ts'
import type { Notes, SecondCall } from './port.ts'
import type { Timed } from './timers.ts'

/** A job that has ended is forgotten, so it has no such state. */
export type LiveState = JobState & ('queued' | 'delayed' | 'waiting' | 'leased')

const NOWHERE: FailedAt = []

export class Entry implements Timed, Notes, Crowding<Entry> {
  job: ScheduledJob
  /** Order of acceptance. */
  readonly seq: number
  readonly tenant: Tenant<Entry>
  flow: Flow<Entry>
  readonly lane: Lane<Entry> | null
  state: LiveState = 'queued'
  /** Number of the last lease; the fence. */
  attempt = 0
  /** See Tally. */
  fails = 0
  deaths = 0
  crashes = 0
  ranMs = 0
  turnMs: number | null = null
  notBeforeMono: number
  deadlineMono: number
  lease: ActiveLease | null = null
  repeats = false
  /** Jobs that it comes after and that have not ended. */
  waitsFor = 0
  claim: Claim | null = null
  call: object | null = null
  hold: Hold | null = null
  second: SecondCall | null = null
  hedgedIn = 0
  streamed = 0
  isStep = false
  failedAt: FailedAt = NOWHERE
  ttftMs: number | null = null
  refusedMono = Infinity
  refusedAlone = 0
  ownKeyMono = 0
  /** The line it is in while it is ready. */
  line: Line<Entry> | null = null
  /** The account by which it was parked, and may try again. */
  outOf: string | null = null
  /** The crowd it is in while it is in line. */
  crowd: Crowd<Entry> | null = null
  bound = 0
  crowdBefore: Entry | null = null
  crowdAfter: Entry | null = null
  // Links of its class in the line
  ticket = 0
  before: Entry | null = null
  after: Entry | null = null
  // Links of its lane
  laneBefore: Entry | null = null
  laneAfter: Entry | null = null
  // Timed
  due = Infinity
  heapAt = -1

  constructor(job: ScheduledJob, seq: number, tenant: Tenant<Entry>, flow: Flow<Entry>, lane: Lane<Entry> | null) {
    this.job = job
    this.seq = seq
    this.tenant = tenant
    this.flow = flow
    this.lane = lane
    this.notBeforeMono = job.notBeforeMono
    this.deadlineMono = job.deadlineMono
  }
}

export class ActiveLease {
  readonly entry: Entry
  readonly worker: WorkerLeases
  readonly leasedMono: number
  canceling = false
  /** It is a suspect: no other suspect is leased meanwhile. */
  readonly isSuspect: boolean
  /** Tokens that the tenant was charged for this attempt. */
  promptTokens = 0
  outputTokens = 0
  // Links of the worker's leases, oldest first
  before: ActiveLease | null = null
  after: ActiveLease | null = null

  constructor(entry: Entry, worker: WorkerLeases, leasedMono: number, isSuspect: boolean) {
    this.entry = entry
    this.worker = worker
    this.leasedMono = leasedMono
    this.isSuspect = isSuspect
  }
}

export class WorkerLeases implements Timed {
  readonly id: string
  readonly seq: number
  lastBeatMono = -Infinity
  oldest: ActiveLease | null = null
  newest: ActiveLease | null = null
  due = Infinity
  heapAt = -1

  constructor(id: string, seq: number) {
    this.id = id
    this.seq = seq
  }
}
