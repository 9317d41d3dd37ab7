/**
 * Frames from clients, checked: PROTOCOL.md section 6. Unlike clients, the server refuses unknown members, so that no
 * typo goes unnoticed.
 */
import { SluiceError } from '../../core/errors.ts'
import { bad, boolean, type Check, checkNames, number, text, whole } from '../../core/fields.ts'
import type { ClientFrame, Credential } from '../../core/frames.ts'
import { isRecord, type JsonRecord } from '../../core/json.ts'
import { didYouMean } from '../../core/nearest.ts'

const MAX_ID_CHARS = 128
const MAX_NAME_CHARS = 256
const MAX_CREDENTIAL_CHARS = 2_048
const MAX_DAY_MS = 86_400_000
const MIN_WINDOW = 1_024
const MAX_CREDIT = 2 ** 31

const id: Check = {
  ok: (v) => text(MAX_ID_CHARS).ok(v) && v !== '',
  what: `a string of 1 to ${MAX_ID_CHARS} characters`,
}
/** A conversation's, as in a job's options. */
const name: Check = {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  ok: (v) => text(MAX_NAME_CHARS).ok(v) && v !== '' && !/[\x00-\x1f\x7f]/.test(v as string),
  what: `a string of 1 to ${MAX_NAME_CHARS} characters`,
}
const cursor: Check = { ok: (v) => text(MAX_ID_CHARS).ok(v), what: 'a cursor, "<epoch>-<seq>"' }
const CREDENTIALS = ['key', 'ticket', 'token']
const auth: Check = {
  ok: (v) =>
    isRecord(v) &&
    Object.keys(v).length === 1 &&
    CREDENTIALS.includes(Object.keys(v)[0]) &&
    text(MAX_CREDENTIAL_CHARS).ok(Object.values(v)[0]),
  what: '{"key": …}, {"ticket": …} or {"token": …}, with a string',
}
const client: Check = {
  ok: (v) =>
    isRecord(v) &&
    Object.keys(v).every((k) => k === 'name' || k === 'version') &&
    Object.values(v).every((x) => text(64).ok(x)),
  what: '{"name", "version"}',
}
const resumes: Check = {
  ok: (v) =>
    Array.isArray(v) &&
    v.every(
      (r) =>
        isRecord(r) &&
        id.ok(r['job']) &&
        cursor.ok(r['cursor'] ?? '') &&
        Object.keys(r).every((k) => k === 'job' || k === 'cursor'),
    ),
  what: 'a list of {"job", "cursor"?}',
}

/** Members of each frame besides `t`; those that must be there are marked. */
const FRAMES: Readonly<Record<ClientFrame['t'], Readonly<Record<string, Check & { readonly needed?: true }>>>> = {
  hello: { auth, client, window: whole(MIN_WINDOW, MAX_CREDIT), jobs: resumes },
  // Its other members are a job's, and checked as those of POST /v1/jobs
  submit: { id: { ...id, needed: true }, follow: boolean },
  attach: { id, job: { ...id, needed: true }, cursor },
  detach: { id, job: { ...id, needed: true } },
  cancel: { id, job: { ...id, needed: true } },
  credit: { job: { ...id, needed: true }, bytes: { ...whole(1, MAX_CREDIT), needed: true } },
  report: { job: { ...id, needed: true }, ttft_ms: { ...number(0, MAX_DAY_MS), needed: true } },
  watch: { id, conversation: { ...name, needed: true } },
  unwatch: { id, conversation: { ...name, needed: true } },
  ping: {},
}
const NAMES = Object.keys(FRAMES)

/** Throws invalid_request. */
export function checkFrame(value: JsonRecord): ClientFrame {
  const { t } = value
  if (typeof t !== 'string' || !Object.hasOwn(FRAMES, t)) {
    throw bad('t', `"t" must be one of ${NAMES.join(', ')}.${typeof t === 'string' ? didYouMean(t, NAMES) : ''}`)
  }
  const members = FRAMES[t as ClientFrame['t']]
  if (t !== 'submit') checkNames(value, ['t', ...Object.keys(members)])
  for (const [name, check] of Object.entries(members)) {
    const given = value[name] ?? undefined
    if (given === undefined ? check.needed : !check.ok(given)) throw bad(name, `"${name}" must be ${check.what}.`)
  }
  return value as unknown as ClientFrame
}

export const credentialOf = (given: Credential | undefined): Credential => {
  if (given === undefined)
    throw new SluiceError('missing_api_key', {
      message: 'Authenticate first: send {"t": "hello", "auth": {…}} with a "key", "ticket" or "token".',
    })
  return given
}
