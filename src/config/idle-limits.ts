/** Limits that hold for nothing: of models that nobody can ask for. No reason to stop, but worth a line. */
import type { Problem } from './problems.ts'
import type { Settings } from './schema.ts'

export function idleLimits({ limits, tenants, models }: Settings): readonly Problem[] {
  const lists = [
    { path: ['limits'], group: limits },
    { path: ['limits', 'each_tenant'], group: limits.each_tenant },
    ...tenants.map(({ limits: group }, i) => ({ path: ['tenants', String(i), 'limits'], group })),
  ]
  return lists.flatMap(({ path, group }) =>
    (group?.models ?? []).flatMap(({ name }, i) =>
      models.some((model) => haveCommon(name, model.name))
        ? []
        : [
            {
              path: [...path, 'models', String(i), 'name'],
              problem: `"${name}" limits nothing: no model in \`models\` has such a name`,
            },
          ],
    ),
  )
}

/** Is there a name that both stand for? */
function haveCommon(one: string, other: string): boolean {
  const [a, b] = [one.replace('*', ''), other.replace('*', '')]
  if (one.endsWith('*')) return b.startsWith(a) || (other.endsWith('*') && a.startsWith(b))
  return other.endsWith('*') ? a.startsWith(b) : a === b
}
