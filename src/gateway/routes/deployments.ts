/** Takes a deployment out, puts it back, and asks whether it can be reached: PROTOCOL.md section 8. */
import { SluiceError } from '../../core/errors.ts'
import { bad, checkNames } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { TenantRecord } from '../../core/ports/tenants.ts'
import type { GatewayDeps } from '../deps.ts'
import { type Answer, empty, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { Call } from '../http/call.ts'
import type { Route } from '../http/route.ts'
import { deploymentView } from '../read/views.ts'
import { MAX_NAME_CHARS, tellChange } from './changes.ts'

const PROBE_MS = 10_000
const MAX_ENTRY_BYTES = 65_536
const MAX_WEIGHT = 1_000_000

/** What is set of one. */
type Set = NonNullable<TenantRecord['deployment']>

interface Probed {
  readonly ok: boolean
  readonly detail: string
  readonly status?: number
}
const GONE: Probed = { ok: false, detail: 'it is no longer configured' }

export function deploymentRoutes(deps: GatewayDeps): readonly Route[] {
  const { models, operations, tenants, clock, options } = deps

  const configured = (): readonly string[] => models.served().flatMap((one) => one.deployments.map(({ name }) => name))

  /** Throws invalid_request. One that was drained can be put back although it is no longer configured. */
  function nameIn(call: Call): string {
    const { name } = call.params
    const known = configured()
    if (known.includes(name) || tenants.get('deployment', name) !== null) return name
    const shown = name.slice(0, MAX_NAME_CHARS)
    throw new SluiceError('invalid_request', {
      status: 404,
      param: 'name',
      message: `There is no deployment "${shown}".${didYouMean(shown, known)}`,
    })
  }

  async function turn(call: Call, drained: boolean): Promise<Answer> {
    const id = nameIn(call)
    const now = clock.wallMs()
    let before = false
    await tenants.change('deployment', id, (known) => {
      before = known !== null && known.disabled !== null
      const disabled = drained ? ({ running: 'finish', queued: 'keep', reason: '', atMs: now } as const) : null
      return {
        ...(known ?? { kind: 'deployment', id, label: '', models: null, limits: null, createdAtMs: now }),
        disabled,
        changedAtMs: now,
      }
    })
    const view = (is: boolean): JsonRecord => ({ drained: is })
    await tellChange(deps, call, {
      action: drained ? 'deployment-drained' : 'deployment-put-back',
      target: `deployment ${id}`,
      tenant: null,
      before: view(before),
      after: view(drained),
    })
    const status = (await operations.deployments()).find(({ deployment }) => deployment === id)
    const { unwell = [], ...is } = status ?? { deployment: id, active: 0, concurrent: 0, isDrained: drained }
    return json(200, deploymentView({ ...is, unwell, isDrained: drained }))
  }

  const recordOf = (id: string, known: TenantRecord | null): TenantRecord => {
    const now = clock.wallMs()
    const fresh = {
      kind: 'deployment',
      id,
      label: '',
      models: null,
      limits: null,
      disabled: null,
      createdAtMs: now,
    } as const
    return { ...(known ?? fresh), changedAtMs: now }
  }

  const viewOf = (id: string): JsonRecord => ({
    object: 'deployment',
    deployment: id,
    source: models.added().has(id) ? 'api' : 'config',
    ...tenants.get('deployment', id)?.deployment,
  })

  /** Stores what `to` makes of it, and waits until that is in force here. */
  async function change(call: Call, id: string, action: string, to: (of: Set) => Set): Promise<void> {
    let before: Set = {}
    let after: Set = {}
    await tenants.change('deployment', id, (known) => {
      before = known?.deployment ?? {}
      after = to(before)
      const { deployment: _, ...rest } = recordOf(id, known)
      return Object.keys(after).length === 0 ? rest : { ...rest, deployment: after }
    })
    await models.settled()
    const view = ({ added, weight }: Set): JsonRecord => ({ ...added, ...(weight !== undefined && { weight }) })
    await tellChange(deps, call, {
      action,
      target: `deployment ${id}`,
      tenant: null,
      before: view(before),
      after: view(after),
    })
  }

  async function add(call: Call): Promise<Answer> {
    const { value: entry } = await readJson(call, MAX_ENTRY_BYTES, options)
    await models.checkAdded(entry)
    const id = entry['deployment'] as string
    await change(call, id, 'deployment-added', (known) => {
      // Another node's, a moment ago
      if (known.added !== undefined) throw bad('deployment', `There is a deployment "${id}" already.`)
      return { ...known, added: entry }
    })
    if (!models.added().has(id))
      throw new SluiceError('config_invalid', { message: 'It is stored, but not in force: the log says why.' })
    return json(201, viewOf(id))
  }

  async function set(call: Call): Promise<Answer> {
    const id = nameIn(call)
    const { value } = await readJson(call, MAX_ENTRY_BYTES, options)
    checkNames(value, ['weight'])
    const { weight } = value
    const isCount = typeof weight === 'number' && Number.isSafeInteger(weight) && weight >= 0 && weight <= MAX_WEIGHT
    if (weight !== null && !isCount) throw bad('weight', `"weight" must be null, or 0 to ${MAX_WEIGHT}.`)
    if (models.saysWeight(id))
      throw new SluiceError('managed_by_config', {
        param: 'weight',
        message: `The entry of "${id}" sets its weight: change it there.`,
      })
    await change(call, id, 'deployment-changed', ({ weight: _, ...rest }) =>
      weight === null ? rest : { ...rest, weight: weight as number },
    )
    return json(200, viewOf(id))
  }

  async function remove(call: Call): Promise<Answer> {
    const id = nameIn(call)
    if (tenants.get('deployment', id)?.deployment?.added === undefined)
      throw new SluiceError('managed_by_config', {
        param: 'name',
        message: `The configuration has the deployment "${id}": remove it there, and reload; or drain it.`,
      })
    await change(call, id, 'deployment-removed', () => ({}))
    return empty(204)
  }

  /** Bounded: a provider's own check may wait for longer. */
  async function probe(call: Call): Promise<Answer> {
    const name = nameIn(call)
    const startedMono = clock.monoMs()
    let inTime = (): void => {}
    const late = new Promise<Probed>((end) => {
      inTime = clock.after(PROBE_MS, () => end({ ok: false, detail: `no answer within ${PROBE_MS / 1_000} s` }))
    })
    const check: Promise<Probed> = models.probe(name) ?? Promise.resolve(GONE)
    const { ok, detail, status } = await Promise.race([check, late]).finally(inTime)
    return json(200, {
      object: 'probe',
      deployment: name,
      ok,
      detail,
      status: status ?? null,
      took_ms: Math.round(clock.monoMs() - startedMono),
    })
  }

  return [
    { method: 'POST', path: '/admin/deployments', auth: 'operator', run: add },
    { method: 'PATCH', path: '/admin/deployments/:name', auth: 'operator', run: set },
    { method: 'DELETE', path: '/admin/deployments/:name', auth: 'operator', run: remove },
    { method: 'POST', path: '/admin/deployments/:name/drain', auth: 'operator', run: (call) => turn(call, true) },
    { method: 'POST', path: '/admin/deployments/:name/resume', auth: 'operator', run: (call) => turn(call, false) },
    { method: 'POST', path: '/admin/deployments/:name/probe', auth: 'operator', run: probe },
  ]
}
