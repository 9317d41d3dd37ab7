/** One run of a simulated fleet: a seed decides what happens. A violation tells its seed, and how it came to that. */
import { type Random, random } from '../random.ts'
import { Clients } from './client.ts'
import { FleetLedger } from './ledger.ts'
import { CALM, Network, type Weather } from './network.ts'
import { type Fleet, MODELS, type NodeFaults, type Roles, SimNode, WORKER_SLOTS } from './node.ts'
import { type ServerFaults, SimServer } from './server.ts'
import type { Terms } from './slots.ts'
import { Timeline } from './timeline.ts'

/** How long clients come and faults happen; until when all must have ended. */
const LOAD_MS = 8_000
const SETTLE_MS = 150_000
const TRACED = 80

const ALL: Roles = { host: true, gateway: true, worker: true }
const HOST: Roles = { host: true, gateway: false, worker: false }
const GATEWAY: Roles = { host: false, gateway: true, worker: false }
const WORKER: Roles = { host: false, gateway: false, worker: true }
const FLEETS: ReadonlyArray<readonly Roles[]> = [
  [ALL, ALL],
  [ALL, ALL, ALL],
  [HOST, HOST, GATEWAY, WORKER, WORKER],
  [ALL, GATEWAY, WORKER],
]

/** Where all but the workers are hindered. */
const CALM_FLEETS: ReadonlyArray<readonly Roles[]> = [
  [HOST, GATEWAY, WORKER, WORKER],
  [HOST, HOST, GATEWAY, WORKER],
]

/** Instead of what the seed draws: which fleet, and what happens to it, which is one thing alone. */
export type Scenario = { readonly fleet: readonly Roles[] } & (
  | { /** Whoever coordinates is silent for one of these. */ readonly silentMs: readonly number[] }
  | { /** Redis is restarted, and has lost one of these numbers of writes. */ readonly losses: readonly number[] }
)

/** A coordinator that hears nobody for longer than a lease, while workers go on. */
export const DEAF_COORDINATOR: Scenario = { fleet: [HOST, GATEWAY, WORKER, WORKER], silentMs: [7_000, 9_000] }
/** What Redis had last is lost, again and again. */
export const LOSING_REDIS: Scenario = { fleet: [ALL, ALL], losses: [4, 8, 16, 32] }

/** Bugs that may be planted, and where. */
export type Faults = NodeFaults & ServerFaults & { readonly scenario?: Scenario }

/** Resolves when it has settled; rejects with the first violation. */
export async function simulateFleet(seed: number, faults: Faults = {}): Promise<Simulation> {
  const simulation = new Simulation(seed, faults)
  try {
    await simulation.run()
    return simulation
  } catch (thrown) {
    const trace = simulation.trace.slice(-TRACED).join('\n')
    throw new Error(`seed ${seed}: ${(thrown as Error).message}\n${trace}`, { cause: thrown })
  }
}

export class Simulation {
  readonly trace: string[] = []
  readonly timeline = new Timeline()
  readonly clients: Clients
  readonly ledger: FleetLedger
  readonly #draw: Random
  readonly #server: SimServer
  readonly #network: Network
  readonly #fleet: Fleet
  readonly #nodes: SimNode[] = []
  /** Only coordinators and gateways are hindered. */
  readonly #isCalm: boolean
  readonly #scenario: Scenario | null
  #made = 0

  constructor(seed: number, faults: Faults) {
    this.#draw = random(seed)
    const draw = this.#draw
    this.#scenario = faults.scenario ?? null
    const { scenario } = faults
    this.#isCalm = scenario === undefined ? draw.chance(0.25) : 'silentMs' in scenario
    const weather: Weather =
      this.#isCalm || draw.chance(0.3)
        ? CALM
        : { loses: draw.of([0, 0.02, 0.1]), repeats: draw.of([0, 0.05]), delays: draw.of([0, 0.1]) }
    this.#server = new SimServer(this.timeline, draw, faults)
    this.#network = new Network(this.timeline, this.#server, draw, weather)
    const slots = MODELS.flatMap(({ deployments }) => deployments).map((d) => [d.name, d.concurrent] as const)
    const terms: Terms = { slots: new Map(slots), workerSlots: WORKER_SLOTS, isCalm: this.#isCalm }
    this.ledger = new FleetLedger(this.#server, terms)
    this.#server.observer = this.ledger
    const log = (line: string): void => void this.trace.push(`${this.timeline.now.toFixed(1)} ${line}`)
    this.#fleet = { network: this.#network, ledger: this.ledger, draw, faults, log }
    this.clients = new Clients(this.#fleet, this.#nodes)
    log(`${this.#isCalm ? 'calm ' : ''}${JSON.stringify(weather)}`)
  }

  async run(): Promise<void> {
    const draw = this.#draw
    const fleets = this.#isCalm ? CALM_FLEETS : FLEETS
    for (const roles of this.#scenario?.fleet ?? draw.of(fleets)) this.#start(roles)
    const jobs = 8 + draw.below(20)
    for (let i = 0; i < jobs; i++) this.#at(draw.below(LOAD_MS), () => this.clients.submit())
    const faults = this.#scenario === null ? draw.below(7) : 1 + draw.below(2)
    for (let i = 0; i < faults; i++) this.#at(draw.below(LOAD_MS), () => this.#fault())
    await this.timeline.run(LOAD_MS)
    await this.#settle()
  }

  #at(ms: number, fn: () => void): void {
    this.timeline.at(this.timeline.now + ms, null, fn)
  }

  #log(line: string): void {
    this.#fleet.log(line)
  }

  // ------------------------------------------------------------ faults

  #start(roles: Roles): void {
    const node = new SimNode(
      this.#fleet,
      `${roles.host ? 'h' : ''}${roles.gateway ? 'g' : ''}${roles.worker ? 'w' : ''}${++this.#made}`,
      roles,
    )
    this.#log(`${node.process.name} starts`)
    this.#nodes.push(node)
    void node.open()
  }

  #fault(): void {
    const draw = this.#draw
    const alive = this.#nodes.filter(({ process, roles }) => !process.isDead && !(this.#isCalm && roles.worker))
    if (alive.length === 0) return
    // Whoever coordinates is the most interesting
    const acting = alive.find(({ host }) => host?.isActing)
    const node = acting !== undefined && draw.chance(0.5) ? acting : draw.of(alive)
    const { process, roles } = node
    const scenario = this.#scenario
    if (scenario !== null) {
      if ('losses' in scenario) this.#restart(draw.of(scenario.losses))
      else if (node === acting) this.#silence(node, draw.of(scenario.silentMs))
      return
    }
    const doings: ReadonlyArray<readonly [number, () => void]> = [
      [
        6,
        () => {
          this.#log(`${process.name} is killed`)
          node.isHindered = true
          node.kill()
          this.#at(draw.below(1_500), () => this.#start(roles))
        },
      ],
      [4, () => this.#pause(node, draw.of([300, 1_500, 2_500, 5_000, 12_000]))],
      [
        4,
        () => {
          this.#log(`${process.name} is cut`)
          node.isHindered = true
          this.#network.cut(process)
        },
      ],
      [3, () => this.#silence(node, draw.of([200, 1_000, 3_000, 6_000, 9_000]))],
      [3, () => this.#restart(0)],
      [this.#isCalm ? 0 : 4, () => this.#restart(1 + draw.below(60))],
      [
        2,
        () => {
          if (node.isStopping) return
          this.#log(`${process.name} stops`)
          node.isHindered = true
          void node.stop()
          this.#at(draw.below(1_500), () => this.#start(roles))
        },
      ],
    ]
    const total = doings.reduce((sum, [weight]) => sum + weight, 0)
    let at = draw.below(total)
    for (const [weight, does] of doings) {
      at -= weight
      if (at < 0) return does()
    }
  }

  #silence(node: SimNode, ms: number): void {
    node.isHindered = true
    this.#log(`${node.process.name} is silent for ${ms}`)
    this.#network.silence(node.process, ms)
  }

  #pause(node: SimNode, ms: number): void {
    const { process } = node
    if (process.isPaused) return
    node.isHindered = true
    this.#log(`${process.name} is stopped for ${ms}`)
    this.timeline.pause(process)
    this.#at(ms, () => this.#resume(node))
  }

  #resume({ process }: SimNode): void {
    if (process.isDead || !process.isPaused) return
    this.#log(`${process.name} goes on`)
    this.timeline.resume(process, this.#draw)
  }

  #restart(lost: number): void {
    if (!this.#server.isUp) return
    const ms = this.#draw.of([5, 300, 2_000, 6_000])
    this.#log(`Redis is away for ${ms}, and loses ${lost}`)
    this.#network.restartServer(ms, lost)
  }

  // ------------------------------------------------------------ its end

  /** Nothing happens any more, so that all that was promised comes true. */
  async #settle(): Promise<void> {
    this.#log('all is well from now on')
    this.#network.weather = CALM
    for (const node of this.#nodes) this.#resume(node)
    if (!this.#nodes.some(({ roles, process }) => roles.worker && !process.isDead)) this.#start(WORKER)
    const { timeline, ledger, clients } = this
    const until = timeline.now + SETTLE_MS
    let lookAt = 0
    await timeline.run(until, () => {
      if (timeline.now < lookAt || !this.#server.isUp) return false
      lookAt = timeline.now + 500
      return ledger.isIdle && clients.waiting === 0
    })
    const isOver = ledger.isIdle && clients.waiting === 0
    if (!isOver) throw new Error(`forgotten: ${ledger.open}, and ${clients.waiting} clients wait`)
    // Until the last reader was told, and the last trim is done
    await timeline.run(timeline.now + 8_000)
    ledger.settled()
    clients.settled()
  }
}
