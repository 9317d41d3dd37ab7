/** Clients of a simulated fleet: each submits one job at some gateway, reads it there or elsewhere, or cancels it. */
import { SluiceError } from '../../../src/core/errors.ts'
import type { Job, JobDraft } from '../../../src/core/job.ts'
import { must } from '../ledger.ts'
import type { Fleet, SimNode } from './node.ts'
import { SimReader } from './reader.ts'

const LANES = [undefined, undefined, 'l1', 'l2'] as const
const KEYS = ['k1', 'k2', 'k3']

function draftOf(tag: string, { draw }: Fleet): JobDraft {
  const body = Buffer.from(`{"model":"m","tag":"${tag}"}`)
  const lane = draw.of(LANES)
  // A key's second request is the first one again
  const key = draw.chance(0.2) ? draw.of(KEYS) : undefined
  return {
    tenant: draw.of(['a', 'b']),
    keyId: 'key_1',
    kind: 'chat',
    model: 'm',
    body,
    bodyHash: key ?? tag,
    isRetry: false,
    dialect: 'chat',
    takesBack: false,
    promptTokens: 1 + draw.below(100),
    maxOutputTokens: 1 + draw.below(50),
    price: { input: 1_000, output: 3_000 },
    ...(draw.chance(0.5) && { user: draw.of(['u', 'constructor']) }),
    metadata: { tag },
    options: {
      pool: 'text',
      priority: 'normal',
      deadlineMs: 3_600_000,
      policy: draw.chance(0.2) ? 'reject' : 'wait',
      onWorkerLoss: 'continue',
      onDisconnect: draw.chance(0.2) ? 'cancel' : 'continue',
      ...(lane !== undefined && { lane }),
      ...(key !== undefined && { idempotencyKey: key }),
      ...(draw.chance(0.15) && { delayMs: draw.below(2_000) }),
    },
  }
}

/** What all clients came to. */
export class Clients {
  readonly #fleet: Fleet
  /** All nodes that were ever started. */
  readonly #nodes: readonly SimNode[]
  readonly readers: SimReader[] = []
  /** Submits, and cancels, that are under way at processes that live. */
  readonly #underWay = new Set<{ readonly node: SimNode }>()
  accepted = 0
  #tags = 0

  constructor(fleet: Fleet, nodes: readonly SimNode[]) {
    this.#fleet = fleet
    this.#nodes = nodes
  }

  get waiting(): number {
    let count = 0
    for (const { node } of this.#underWay) if (!node.process.isDead) count++
    return count
  }

  #gateway(): SimNode | null {
    const open = this.#nodes.filter((node) => node.roles.gateway && node.isOpen)
    return open.length === 0 ? null : this.#fleet.draw.of(open)
  }

  submit(): void {
    const node = this.#gateway()
    if (node !== null) void this.#at(node, () => this.#submit(node))
  }

  async #at(node: SimNode, fn: () => Promise<void>): Promise<void> {
    const entry = { node }
    this.#underWay.add(entry)
    try {
      await fn()
    } catch (error) {
      if (!(error instanceof SluiceError)) this.#fleet.network.timeline.fail(error)
    } finally {
      this.#underWay.delete(entry)
    }
  }

  async #submit(node: SimNode): Promise<void> {
    const { ledger, draw, log } = this.#fleet
    const tag = `t${++this.#tags}`
    const draft = draftOf(tag, this.#fleet)
    log(`${node.process.name} submits ${tag} ${JSON.stringify(draft.options)}`)
    ledger.cancels.submits(tag, () => node.isHindered)
    const [result] = await node.submissions!.submit([draft])
    if (node.process.isDead) return
    if (result.kind === 'refused') {
      log(`${node.process.name} refuses ${tag}: ${result.error.code}`)
      ledger.cancels.refused(tag, this.#fleet.network.timeline.now)
      return
    }
    const { job } = result
    log(`${node.process.name} ${result.kind} ${tag} as ${job.id}`)
    this.accepted++
    ledger.acknowledged(job.id)
    const isPlain = job.options.onDisconnect === 'cancel'
    if (isPlain) this.#attend(node, job)
    if (draw.chance(0.5)) this.#read(job)
    if (draw.chance(0.15)) node.clock.after(draw.below(3_000), () => this.#cancel(job))
  }

  #cancel(job: Job): void {
    const node = this.#gateway()
    if (node === null) return
    const { ledger, log } = this.#fleet
    void this.#at(node, async () => {
      const { losses } = ledger
      ledger.cancels.cancels(job.id)
      const { kind } = await node.jobs!.cancel(job.id)
      log(`${node.process.name} cancels ${job.id}: ${kind}`)
      ledger.canceled(job.id, kind, losses)
    })
  }

  /** Reads from now on; leaves early at times, and may come back somewhere else. */
  #attend(node: SimNode, job: Job): void {
    const { draw, ledger } = this.#fleet
    const leave = node.presence!.enter(job)
    ledger.cancels.reads(job.id, () => node.isHindered)
    if (draw.chance(0.6)) return
    node.clock.after(draw.below(2_000), () => {
      ledger.cancels.leaves(job.id)
      leave(false)
      const other = this.#gateway()
      if (other !== null && draw.chance(0.5)) other.clock.after(draw.below(2_000), () => other.presence!.enter(job))
    })
  }

  #read(job: Job): void {
    const node = this.#gateway()
    if (node === null) return
    const reader = new SimReader(this.#fleet, node, job)
    this.readers.push(reader)
    void this.#at(node, () => reader.start())
  }

  /** Whoever reads at a process that lives has what is stored. */
  settled(): void {
    for (const reader of this.readers) {
      if (reader.node.process.isDead || reader.node.isStopping) continue
      const why = reader.missing()
      must(why === null, `a reader at ${reader.node.process.name}: ${why}`)
    }
  }
}
