import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ADMIN_KEY, keepSecret, readSecret, weaknessOf } from './secret-file.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-secret-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const OURS = `sluice-admin-${'aB3_-xyzQ'.repeat(5).slice(0, 43)}`
const never = (): string => {
  throw new Error('a secret must not be made here')
}
let files = 0
const file = (content: string, mode = 0o600): string => {
  const path = join(dir, `secret-${++files}`)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

it('is made once, private, and found again', () => {
  const path = join(dir, 'made/here/admin.key')
  mkdirSync(join(dir, 'made/here'), { recursive: true })
  expect(keepSecret(path, ADMIN_KEY, () => OURS)).toBe(OURS)
  expect(readFileSync(path, 'utf8')).toBe(`${OURS}\n`)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readdirSync(join(dir, 'made/here'))).toEqual(['admin.key'])
  expect(keepSecret(path, ADMIN_KEY, never)).toBe(OURS)
})

it.each([OURS, `${OURS}\n`, `${OURS}\r\n`, 'chosen-by-an-operator'])('takes %j', (content) => {
  expect(keepSecret(file(content), ADMIN_KEY, never)).toBe(content.trim())
})

describe('fails closed, and says what to do', () => {
  it.each([
    ['empty', '', 'is empty'],
    ['a line break', '\n', 'is empty'],
    ['cut off', OURS.slice(0, 40), 'is damaged'],
    ['cut off by one', `${OURS.slice(0, -1)}\n`, 'is damaged'],
    ['zeros, as after a power cut', '\0'.repeat(57), 'visible ASCII'],
    ['ours with zeros', `${OURS.slice(0, 30)}${'\0'.repeat(27)}`, 'is damaged'],
    ['spaces', ' '.repeat(40), 'visible ASCII'],
    ['short', 'abc', 'too easy to guess'],
    ['one letter', 'a'.repeat(40), 'too easy to guess'],
    ['two lines', `${OURS}\n${OURS}\n`, 'is damaged'],
    ['huge', 'x'.repeat(10_000), 'too large'],
  ])('%s', (_name, content, problem) => {
    const path = file(content)
    const refusal = (): unknown => keepSecret(path, ADMIN_KEY, never)
    expect(refusal).toThrow(expect.objectContaining({ code: 'config_invalid' }))
    expect(refusal).toThrow(problem)
    expect(refusal).toThrow(/Restore it from a backup, or delete it/)
    if (content.length > 3 && content.trim() !== '') expect(refusal).not.toThrow(content.slice(0, 20))
    expect(readFileSync(path, 'utf8')).toBe(content)
  })

  it('a folder, a dangling link, a loop of links, a pipe', () => {
    const at = (name: string): string => join(dir, name)
    mkdirSync(at('folder'))
    symlinkSync(at('nowhere'), at('dangling'))
    symlinkSync(at('loop'), at('loop'))
    spawnSync('mkfifo', [at('pipe')])
    for (const name of ['folder', 'dangling', 'loop', 'pipe'])
      expect(() => keepSecret(at(name), ADMIN_KEY, never), name).toThrow(/is (not a file|a link that leads nowhere)/)
  })

  it('a path through a file', () => {
    expect(() => keepSecret(join(file('x'), 'admin.key'), ADMIN_KEY, never)).toThrow(/ENOTDIR/)
  })
})

it('follows a link to a whole secret', () => {
  symlinkSync(file(OURS), join(dir, 'link'))
  expect(readSecret(join(dir, 'link'), ADMIN_KEY)).toBe(OURS)
})

it('takes the access of others away', () => {
  const path = file(OURS, 0o644)
  expect(readSecret(path, ADMIN_KEY)).toBe(OURS)
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

it('leaves nothing where it can not be written whole', () => {
  // A limit of 0 bytes a file, as a full disk: the name is there before the content is
  mkdirSync(join(dir, 'full'))
  const script = `
    import { keepSecret, ADMIN_KEY } from ${JSON.stringify(join(import.meta.dirname, 'secret-file.ts'))}
    process.on('SIGXFSZ', () => {})
    try { keepSecret('${dir}/full/admin.key', ADMIN_KEY, () => '${OURS}') }
    catch (e) { console.log(e.code, e.message) }`
  const { stdout } = spawnSync('bash', [
    '-c',
    `ulimit -f 0; exec "${process.execPath}" --input-type=module -e "$0" | cat`,
    script,
  ])
  expect(stdout.toString()).toMatch(/^config_invalid .*can't be written \(EFBIG\)/)
  expect(readdirSync(join(dir, 'full'))).toEqual([])
})

it('knows a weak key', () => {
  for (const weak of [
    '',
    'a',
    'abc',
    'password',
    '123456789012345',
    'abababababababababab',
    'with a space in it',
    'é'.repeat(20),
  ])
    expect(weaknessOf(weak), weak).not.toBeNull()
  for (const good of ['0123456789abcdef', 'sk-sluice-a-key-for-this-test', OURS]) expect(weaknessOf(good)).toBeNull()
})
