/** What `sluice bench … --post` sends, for the dashboard: PROTOCOL.md section 8. */
import { SluiceError } from '../../core/errors.ts'
import { bad } from '../../core/fields.ts'
import type { JsonRecord } from '../../core/json.ts'
import type { KeptBenchmark } from '../../core/ports/benchmarks.ts'
import type { GatewayDeps } from '../deps.ts'
import { empty, json } from '../http/answer.ts'
import { readJson } from '../http/body.ts'
import type { Route } from '../http/route.ts'
import { tellChange } from './changes.ts'

const MAX_BYTES = 2_000_000
const LIMITS = { maxDepth: 16, maxKeys: 100_000, fixed: true }
const KINDS = ['run', 'comparison']
const MAX_LABEL_CHARS = 200

export function benchmarkRoutes(deps: GatewayDeps): readonly Route[] {
  const { benchmarks, clock, ids } = deps
  return [
    {
      method: 'POST',
      path: '/admin/benchmarks',
      auth: 'operator',
      async run(call) {
        const { value } = await readJson(call, MAX_BYTES, LIMITS)
        if (!KINDS.includes(value['kind'] as string))
          throw bad('kind', '"kind" must be "run" or "comparison": send what `sluice bench` has written.')
        const kept = { id: ids.name('bench', 8), atMs: Math.floor(clock.wallMs()), body: value }
        await benchmarks.add(kept)
        await tellChange(deps, call, {
          action: `benchmark-${value['kind'] === 'run' ? 'run' : 'compared'}`,
          target: `benchmark ${kept.id}`,
          tenant: null,
          before: {},
          after: { label: labelOf(value) },
        })
        return json(201, listed(kept))
      },
    },
    {
      method: 'GET',
      path: '/admin/benchmarks',
      auth: 'operator',
      run: async () => json(200, { object: 'list', data: (await benchmarks.list()).map(listed) }),
    },
    {
      method: 'GET',
      path: '/admin/benchmarks/:id',
      auth: 'operator',
      async run({ params }) {
        const kept = await benchmarks.get(params['id'])
        if (kept === null) throw notThere()
        return json(200, kept.body)
      },
    },
    {
      method: 'DELETE',
      path: '/admin/benchmarks/:id',
      auth: 'operator',
      async run(call) {
        const { id } = call.params
        if (!(await benchmarks.remove(id))) throw notThere()
        await tellChange(deps, call, {
          action: 'benchmark-removed',
          target: `benchmark ${id}`,
          tenant: null,
          before: {},
          after: {},
        })
        return empty(204)
      },
    },
  ]
}

const notThere = (): SluiceError =>
  new SluiceError('invalid_request', {
    status: 404,
    param: 'id',
    message: 'There is no such benchmark, or it made room for newer ones; GET /admin/benchmarks lists them.',
  })

const listed = ({ id, atMs, body }: KeptBenchmark): JsonRecord => ({
  object: 'benchmark',
  id,
  kind: body['kind'],
  at_ms: atMs,
  label: labelOf(body),
  sentence: text(body['sentence']),
  verdict: text(body['verdict']),
})

const text = (value: unknown): string | null => (typeof value === 'string' ? value.slice(0, MAX_LABEL_CHARS) : null)
const labelIn = (value: unknown): string => text((value as JsonRecord | null | undefined)?.['label']) ?? 'unnamed'

const labelOf = (body: JsonRecord): string =>
  body['kind'] === 'run' ? labelIn(body) : `${labelIn(body['after'])} against ${labelIn(body['before'])}`
