/** The gate before the queue: the guards of a tenant. */
import { SluiceError } from '../core/errors.ts'
import type { TenantId } from '../core/job.ts'
import { editObject, type JsonRecord } from '../core/json.ts'
import type { Admission, Asked, Decision } from '../core/ports/admission.ts'
import type { Ruling } from '../core/ruling.ts'
import { editTexts, textsOf } from '../core/text-request.ts'
import type { Finding } from './guards/guard.ts'
import { guardsOf, type MadeGuard } from './made.ts'
import { notEditable } from './not-editable.ts'
import type { GuardSettings } from './settings.ts'

const PASSED: Decision = { error: null, edit: null, rulings: [] }

/** `settingsOf`: a tenant's guards, in order. After a reload it must return another list. */
export function createAdmission(settingsOf: (tenant: TenantId) => readonly GuardSettings[] | undefined): Admission {
  return {
    check(asked) {
      const settings = settingsOf(asked.tenant)
      return settings === undefined || settings.length === 0 ? PASSED : decide(guardsOf(settings), asked)
    },
  }
}

function decide(guards: readonly MadeGuard[], asked: Asked): Decision {
  const rulings: Ruling[] = []
  const edits: Finding[] = []
  let texts = once(asked.texts)
  for (const guard of guards) {
    const found = guard.request?.({ ...asked, texts }) ?? null
    if (found === null) continue
    const finding: Finding =
      found instanceof SluiceError ? { verdict: 'block', rules: [found.code], count: 1, error: found } : found
    const ruling = rulingOf(guard, finding)
    if (ruling.verdict !== 'allow' || ruling.unscanned.length > 0) rulings.push(ruling)
    if (guard.mode === 'shadow') continue
    if (finding.verdict === 'block') return { error: finding.error ?? null, edit: null, rulings }
    const { edit, members } = finding
    if (edit !== undefined || members !== undefined) edits.push(finding)
    if (edit !== undefined) {
      // The guards that follow see what they would see of the request as it is sent on
      const before = texts
      texts = once(() => before().map(edit))
    }
  }
  return rulings.length === 0 && edits.length === 0
    ? PASSED
    : { error: null, edit: edits.length === 0 ? null : (body) => edited(body, edits), rulings }
}

const rulingOf = ({ name, mode }: MadeGuard, { verdict, rules, count, unscanned = [] }: Finding): Ruling => ({
  guard: name,
  on: 'request',
  mode,
  verdict,
  rules,
  count,
  unscanned,
})

/** Throws content_blocked where something can't be redacted. */
function edited(body: Uint8Array, findings: readonly Finding[]): Uint8Array {
  const edits = findings.flatMap(({ edit }) => (edit === undefined ? [] : [edit]))
  let changed = body
  if (edits.length > 0) {
    changed = editTexts(body, (text) => edits.reduce((now, edit) => edit(now), text))
    const left = textsOf(JSON.parse(Buffer.from(changed).toString('utf8')) as JsonRecord)
    if (findings.some(({ remains }) => remains?.(left) === true)) throw notEditable()
  }
  const members = Object.assign({}, ...findings.map((finding) => finding.members)) as Record<string, string>
  return Object.keys(members).length === 0 ? changed : editObject(changed, members)
}

function once<T>(make: () => T): () => T {
  let value: { readonly made: T } | null = null
  return () => {
    value ??= { made: make() }
    return value.made
  }
}
