/** Settings of limits that do nothing, or hardly what was meant. No reason to stop, but worth a line. */
import { levelSettings } from '../coordinator/limits/settings.ts'
import type { Problem } from './problems.ts'
import type { Settings } from './schema.ts'

const STANDARD = levelSettings.parse({}).velocity

export function idleLimits({ limits, tenants, models }: Settings): readonly Problem[] {
  const groups = [
    { path: ['limits'], group: limits },
    { path: ['limits', 'each_tenant'], group: limits.each_tenant },
    ...tenants.map(({ limits: group }, i) => ({ path: ['tenants', String(i), 'limits'], group })),
  ]
  return [
    ...groups.flatMap(({ path, group }) => [
      ...(path[1] === 'each_tenant' ? [] : velocitiesIn(path, group)),
      ...(group?.models ?? []).flatMap(({ name }, i) =>
        models.some((model) => haveCommon(name, model.name))
          ? []
          : [
              {
                path: [...path, 'models', String(i), 'name'],
                problem: `"${name}" limits nothing: no model in \`models\` has such a name`,
              },
            ],
      ),
    ]),
    ...tenants.flatMap(({ cache: { ttl } }, i) =>
      ttl === 0 || ttl >= SHORT_MS
        ? []
        : [{ path: ['tenants', String(i), 'cache', 'ttl'], problem: `${ttl} ms is hardly meant: write "${ttl}s"` }],
    ),
  ]
}

/** A bare number is milliseconds. */
const SHORT_MS = 1_000

/** A breaker that was adjusted, but is not switched on; of this group and of those in it. */
function velocitiesIn(path: readonly string[], group: unknown): Problem[] {
  if (typeof group !== 'object' || group === null) return []
  return Object.entries(group).flatMap(([name, value]) => {
    if (name !== 'velocity') return velocitiesIn([...path, name], value)
    const { trip, ...paces } = value as typeof STANDARD
    const isAdjusted = (Object.keys(paces) as (keyof typeof paces)[]).some((pace) => paces[pace] !== STANDARD[pace])
    return trip || !isAdjusted ? [] : [{ path: [...path, name], problem: 'does nothing without `trip: true`' }]
  })
}

/** Is there a name that both stand for? */
function haveCommon(one: string, other: string): boolean {
  const [a, b] = [one.replace('*', ''), other.replace('*', '')]
  if (one.endsWith('*')) return b.startsWith(a) || (other.endsWith('*') && a.startsWith(b))
  return other.endsWith('*') ? a.startsWith(b) : a === b
}
