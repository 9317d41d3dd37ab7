/** An entry of `models` that is not in the file, checked as if it were. */
import { modelAsGiven } from './models.ts'
import { describeIssue, dotted } from './problems.ts'
import { sameKeys } from './same-keys.ts'

type Checked =
  | { readonly settings: NonNullable<ReturnType<typeof modelAsGiven.safeParse>['data']> }
  | { readonly setting: string; readonly problem: string }

/** Its settings, by the names of YAML; or the first that is wrong. Secrets are never repeated. */
export function checkedModel(given: unknown): Checked {
  const result = modelAsGiven.safeParse(structuredClone(given), { reportInput: true })
  if (result.success) {
    const [same] = sameKeys(result.data)
    return same === undefined ? { settings: result.data } : { setting: dotted(same.path), problem: same.problem }
  }
  // Where settings of a model are known by name
  const within = ['models', '0']
  const [issue] = result.error.issues
  const [{ path, problem }] = describeIssue({ ...issue, path: [...within, ...issue.path] })
  return { setting: dotted(path.slice(within.length)), problem: problem.replace(/\.$/, '') }
}
