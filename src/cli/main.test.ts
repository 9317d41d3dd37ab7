/** The command line as it is typed: its output, on which stream, and its exit code. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { DEEP } from '../../test/depth.ts'
import { lines } from '../../test/e2e/serve.ts'
import { bareEnvironment } from '../../test/environment.ts'
import { openForCheck } from '../app/models.ts'
import { loadConfig } from '../config/load.ts'
import { checkAdminKey, checkAll, checkDisk, checkFolder, checkNode, checkPort } from './checks.ts'
import { jobTable } from './jobs.ts'
import { run } from './run.ts'
import { screen } from './screen.ts'
import { ago } from './table.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-cli-'))
afterAll(() => rmSync(dir, { recursive: true }))

interface Ran {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** As a process of its own. */
function sluice(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], {
      env: { ...bareEnvironment(), ...env },
      cwd: dir,
    })
    let [out, err] = ['', '']
    child.stdout.on('data', (d: Buffer) => (out += d.toString()))
    child.stderr.on('data', (d: Buffer) => (err += d.toString()))
    child.on('close', (code) => done({ code, out, err }))
  })
}

let turn: Promise<unknown> = Promise.resolve()
/** The same without a process, which is most of what it costs: those of a deep run are enough. One at a time. */
function command(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  if (DEEP) return sluice(args, env)
  const ran = turn.then(async () => {
    const [before, folder] = [process.env, process.cwd()]
    const [out, err]: [string[], string[]] = [[], []]
    const output = {
      write: (text: string) => void out.push(text),
      print: (line: string) => void out.push(`${line}\n`),
      note: (line: string) => void err.push(`${line}\n`),
    }
    process.env = { ...bareEnvironment(), ...env }
    process.chdir(dir)
    try {
      return { code: await run(args, output), out: out.join(''), err: err.join('') }
    } finally {
      process.env = before
      process.chdir(folder)
    }
  })
  turn = ran.catch(() => {})
  return ran
}

describe('a mistake is named, with what was probably meant: exit code 2', () => {
  it.each([
    [['serv'], 'There is no command "serv". Did you mean "serve"?'],
    [['doctor', '--prot', '3'], 'There is no option --prot. Did you mean "--port"?'],
    [['doctor', '--http-port', '3'], 'There is no option --http-port. Did you mean "--port"?'],
    [['doctor', '--zzz'], 'There is no option --zzz. --help lists them.'],
    [['doctor', '--port'], 'The option --port needs a value.'],
    [['doctor', '--json=yes'], 'The option --json takes no value.'],
    [['doctor', 'now'], 'Unexpected argument: "now".'],
    [['doctor', '--port', 'x'], '--port: expected a whole number'],
    [['doctor', '--config', 'none.yaml'], "none.yaml can't be read (ENOENT)."],
    [['jobs'], 'Missing subcommand: "npx sluice jobs list", "show", "follow", "cancel" or "redrive".'],
    [['jobs', '--json'], 'Missing subcommand'],
    [['jobs', 'liist'], 'There is no command "jobs liist". Did you mean "list"?'],
    [['jobs', 'help'], 'There is no command "jobs help".'],
    [['jobs', 'show'], 'Missing job id: "npx sluice jobs list" shows them.'],
    [['jobs', 'cancel', ''], 'Missing job id'],
    [['jobs', 'show', 'job_1', 'job_2'], 'Unexpected argument: "job_2".'],
    [['jobs', 'list', 'job_1'], 'Unexpected argument: "job_1".'],
    [['jobs', 'follow', 'job_1', '--state', 'done'], 'There is no option --state in "jobs follow". --help lists'],
    [['jobs', 'list', '--limit', 'abc', '--key', 'x'], '--limit needs a whole number'],
    [['jobs', 'list'], 'Missing API key: set SLUICE_API_KEY, or give it with --key.'],
    [['runs', 'show'], 'Missing run id: "npx sluice runs list" shows them.'],
    [['batches', 'cancel'], 'Missing batch id: "npx sluice batches list" shows them.'],
    [['webhooks', 'redeliver'], 'Missing event id: "npx sluice webhooks deliveries ID" shows them.'],
    [['webhook', 'list'], 'There is no command "webhook". Did you mean "webhooks"?'],
    [['keys', 'mint'], 'There is no command "keys mint".'],
    [['keys', 'revoke'], 'Missing key id: "npx sluice keys list" shows them.'],
    [['keys', 'create', 'ci'], 'Unexpected argument: "ci".'],
    [['keys', 'create', '--expires-days', 'Infinity'], '--expires-days needs a number'],
    [['keys', 'create', '--expires-days', 'x'], '--expires-days needs a number'],
    [['mock', '--slots', 'x'], '--slots needs a whole number'],
    [['mock', '--port', '65536'], '--port needs a whole number, at most 65535'],
    [['help', 'setings'], 'There is no command "setings". Did you mean "settings"?'],
    [['help', 'jobs', 'folow'], 'There is no command "jobs folow". Did you mean "follow"?'],
    [['help', 'nothing'], 'There is no command "nothing".'],
  ])('%s', async (args, message) => {
    const printed: string[] = []
    const notes: string[] = []
    const print = (text: string): void => void printed.push(text)
    const code = await run(args, { print, write: print, note: (line) => void notes.push(line) })
    expect(notes).toEqual([expect.stringContaining(`sluice: ${message}`)])
    expect([code, printed]).toEqual([2, []])
  })
  it('as a process', async () => {
    const { code, out, err } = await sluice(['keys', 'list'])
    expect(err).toContain('There is no sluice-data/admin.key')
    expect([code, out]).toEqual([2, ''])
  })
  it('without what would steer the terminal', async () => {
    const { err } = await sluice(['\x1b[31mEVIL\x1b]52;c;bm8=\x07'])
    expect(err).toContain('There is no command "[31mEVIL]52;c;bm8="')
  })
})

describe('the server without a terminal: its last line is JSON, whatever is wrong', () => {
  it.each([
    [['--json', '--prot', '1'], 'There is no option --prot. Did you mean "--port"?'],
    [['now'], 'Unexpected argument: "now".'],
    [['--port', 'x'], '--port: expected a whole number'],
  ])('serve %s', async (args, msg) => {
    const { code, out, err } = await sluice(['serve', ...args])
    expect(err.split('\n')).toHaveLength(2)
    expect(JSON.parse(err)).toMatchObject({ level: 'fatal', msg, time: expect.any(String) })
    expect([code, out]).toEqual([2, ''])
  })
})

describe('what another process has taken: one line, exit code 5', () => {
  const other = createServer()
  const taken = new Promise<string>((done) =>
    other.listen(0, '127.0.0.1', () => done(String((other.address() as AddressInfo).port))),
  )
  afterAll(() => other.close())

  it('the port of the mock', async () => {
    const { code, out, err } = await sluice(['mock', '--port', await taken])
    expect(err).toBe(`sluice: port ${await taken} is in use. Choose another one with --port.\n`)
    expect([code, out]).toEqual([5, ''])
  })

  it.each(['--port', '--admin-port'])('the port of the server, %s', async (flag) => {
    const ports = { '--port': '0', '--admin-port': '0', [flag]: await taken }
    const args = [...Object.entries(ports).flat(), '--data-dir', join(dir, `taken${flag}`)]
    const { code, out, err } = await sluice(['serve', ...args])
    expect(lines(err)).toEqual([
      expect.objectContaining({ level: 'fatal', code: 'in_use', msg: expect.stringContaining(flag) }),
    ])
    expect([code, out]).toEqual([5, ''])
  })

  it('an address that this machine does not have is a mistake of the command line', async () => {
    for (const [command, host] of [
      ['mock', '203.0.113.9'],
      ['mock', 'no-such-host.invalid'],
      ['serve', '203.0.113.9'],
      ['serve', 'no-such-host.invalid'],
    ]) {
      const { code, err } = await sluice([command, '--port', '0', '--host', host])
      expect([code, err]).toEqual([2, expect.stringContaining(`this machine has no address ${host}`)])
      expect(err).not.toContain('    at ')
    }
  })
})

it('the help of a subcommand shows what matters to it', async () => {
  const [asked, flag, group] = await Promise.all([
    command(['help', 'jobs', 'follow']),
    command(['jobs', 'follow', '--help']),
    command(['jobs', '--help']),
  ])
  expect(asked.out).toBe(flag.out)
  expect(asked.out).toContain('npx sluice jobs follow ID [--after CURSOR]\n')
  for (const option of ['--after CURSOR', '--url URL', '--key KEY', '--json']) expect(asked.out).toContain(option)
  expect(asked.out).not.toMatch(/--state|--limit|--durability|--log-level|--data-dir/)
  expect((await command(['help', 'keys', 'list'])).out).toContain('--data-dir TEXT')
  for (const verb of ['list', 'show', 'follow', 'cancel', 'redrive'])
    expect(group.out).toMatch(new RegExp(`^  ${verb} `, 'm'))
})

it('helps', async () => {
  const [overview, serve, settings, version] = await Promise.all([
    command([]),
    command(['serve', '-h']),
    command(['help', 'settings']),
    sluice(['--version']),
  ])
  expect([overview.code, serve.code, settings.code, version.code]).toEqual([0, 0, 0, 0])
  for (const word of ['serve', 'keys', 'jobs', 'doctor', 'mock', 'Exit codes']) expect(overview.out).toContain(word)
  expect(serve.out).toMatch(/--data-dir.*SLUICE_DATA_DIR/)
  for (const flag of ['--redis-url URL', '--role all', '--processes N']) expect(serve.out).toContain(flag)
  for (const word of [
    'SIGHUP',
    'tokens=N',
    'delay=MS',
    'fail=STATUS',
    'cut=N',
    'stall=N',
    'garbage=N',
    'faults=N',
    'echo=1',
  ])
    expect(serve.out).toContain(word)
  const mock = (await command(['mock', '--help'])).out
  for (const letter of 'ndfbeksghxu') expect(mock).toMatch(new RegExp(`^ +-${letter}\\w+ `, 'm'))
  expect(settings.out).toContain('--http-max-body-bytes SIZE  SLUICE_HTTP_MAX_BODY_BYTES  [4MiB]')
  expect(settings.out).not.toContain('--admin-key')
  expect(version.out).toMatch(/^\d+\.\d+\.\d+\n$/)
})

describe('against a server', () => {
  const job = {
    id: 'job_1',
    state: 'done',
    model: 'demo',
    lane: null,
    conversation: 'c1',
    created_at: 0,
    attempts: 1,
    queue: null,
    usage: { completion_tokens: 12 },
    timing: { total_ms: 1234 },
    error: null,
  }
  const asked: string[] = []
  let sent = ''
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    request.on('data', (bytes: Buffer) => {
      sent = bytes.toString()
    })
    const answer = (status: number, body: unknown): void =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (request.headers.authorization !== 'Bearer good')
      answer(401, { error: { code: 'invalid_api_key', message: 'The API key is not valid here.' } })
    else if (request.url!.startsWith('/v1/jobs?')) answer(200, { data: [job] })
    else if (request.url === '/v1/jobs/job_1/cancel') answer(202, { ...job, state: 'canceled' })
    else if (request.url === '/admin/keys') {
      const key = {
        id: 'key_1',
        tenant: 'default',
        name: 'ci',
        hint: 'sk-sluice-abcd…',
        created_at: 0,
        expires_at: null,
        revoked_at: null,
      }
      if (request.method === 'POST') answer(201, { ...key, key: 'sk-sluice-new' })
      else answer(200, { data: [key] })
    } else if (request.method === 'DELETE') response.writeHead(204).end()
    else answer(404, { error: { code: 'job_not_found', message: 'There is no such job.' } })
  })
  const url = new Promise<string>((done) =>
    server.listen(0, '127.0.0.1', () => done(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)),
  )
  afterAll(() => server.close())
  const call = async (args: readonly string[], key = 'good') =>
    command(args, { SLUICE_URL: await url, SLUICE_ADMIN_URL: await url, SLUICE_API_KEY: key, SLUICE_ADMIN_KEY: key })

  it('lists jobs in a table, and as JSON', async () => {
    expect((await call(['jobs', 'list', '--state', 'done', '--limit', '5'])).out).toMatch(
      /^ID +STATE +MODEL.*\njob_1 +done +demo +c1 +\d+ d ago +12 +1\.2 s\n$/,
    )
    expect(asked.at(-1)).toBe('GET /v1/jobs?limit=5&state=done')
    expect(JSON.parse((await call(['jobs', 'list', '--json'])).out)).toEqual([job])
    expect((await call(['jobs', 'cancel', 'job_1'])).out).toBe('job_1 canceled\n')
  })

  it('makes, lists and revokes keys', async () => {
    const made = await call(['keys', 'create', '--name', 'ci', '--expires-days', '2'])
    expect(sent).toBe('{"tenant":"default","name":"ci","expires_in_ms":172800000}')
    expect(made).toEqual({
      code: 0,
      out: 'sk-sluice-new\n',
      err: 'Key key_1 of tenant default. It will not be shown again.\n',
    })
    expect((await call(['keys', 'list'])).out).toMatch(
      /\nkey_1 +default +sk-sluice-abcd… +1970-01-01 +valid +all +- +ci\n$/,
    )
    expect(await call(['keys', 'revoke', 'key_1'])).toMatchObject({ code: 0, err: 'Key key_1 is revoked.\n' })
    expect(asked.at(-1)).toBe('DELETE /admin/keys/key_1')
  })

  it('sets, rotates and disables keys, tenants and models', async () => {
    const asks = async (line: string): Promise<string> => {
      await call(line.split(' '))
      return `${asked.at(-1)} ${sent}`
    }
    expect(await asks('keys set key_1 --models gpt-4*,o1 --scopes read --limits none --expires-days never')).toBe(
      'PATCH /admin/keys/key_1 {"expires_in_ms":null,"scopes":["read"],"models":["gpt-4*","o1"],"limits":null}',
    )
    expect(await asks('keys rotate key_1 --overlap 24h')).toBe('POST /admin/keys/key_1/rotate {"overlap_ms":86400000}')
    expect(await asks('keys revoke key_1 --cut')).toContain('DELETE /admin/keys/key_1?running=cut')
    expect(await asks('tenants set acme --label A --limits {"concurrent":2} --models all')).toBe(
      'PATCH /admin/tenants/acme {"label":"A","models":null,"limits":{"concurrent":2}}',
    )
    expect(await asks('tenants disable acme --cut --reason unpaid')).toBe(
      'POST /admin/disable {"tenant":"acme","running":"cut","queued":"keep","reason":"unpaid"}',
    )
    expect(await asks('keys disable key_1 --cancel')).toBe(
      'POST /admin/disable {"key":"key_1","running":"finish","queued":"cancel","reason":""}',
    )
    expect(await asks('models enable gpt-4')).toBe('POST /admin/enable {"model":"gpt-4"}')
    for (const line of ['tenants set acme', 'tenants set acme --limits {', 'keys rotate key_1 --overlap soon'])
      expect((await call(line.split(' '))).code).toBe(2)
  })

  const NO_JOB = 'sluice: There is no such job. "npx sluice jobs list" shows their ids.\n'
  it('tells by its exit code how it failed', async () => {
    expect(await call(['jobs', 'show', 'job_2'])).toEqual({ code: 1, out: '', err: NO_JOB })
    expect(await call(['jobs', 'list'], 'bad')).toEqual({
      code: 4,
      out: '',
      err: 'sluice: The API key is not valid on this server. "npx sluice keys create" creates one.\n',
    })
    expect(await call(['keys', 'list'], 'bad-admin-key-of-the-tests')).toEqual({
      code: 4,
      out: '',
      err: 'sluice: The admin key is not valid on this server: use the one in the admin.key of its data folder.\n',
    })
    expect(await command(['jobs', 'list', '--url', 'http://127.0.0.1:9', '--key', 'x'])).toMatchObject({
      code: 3,
      out: '',
    })
  })

  it('takes the address as it is copied from an SDK, and its key from SLUICE_KEY too', async () => {
    const env = { SLUICE_KEY: 'good' }
    expect((await command(['jobs', 'cancel', 'job_1', '--url', `${await url}/v1/`], env)).out).toBe('job_1 canceled\n')
  })

  it('takes the key of the first start from the data folder, for the address of that server alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-key-'))
    writeFileSync(join(folder, 'first-api.key'), `sk-sluice-${'a'.repeat(49)}\n`, { mode: 0o600 })
    const env = { SLUICE_PORT: new URL(await url).port, SLUICE_DATA_DIR: folder }
    expect((await command(['jobs', 'list'], env)).err).toContain('The API key is not valid')
    const elsewhere = (await command(['jobs', 'list', '--url', await url], env)).err
    expect(elsewhere).toContain('Missing API key')
    expect(elsewhere).toContain(join(folder, 'first-api.key'))
    rmSync(folder, { recursive: true })
  })

  it('tells who is to blame for an address that does not work', async () => {
    const http = await url
    const says = async (address: string): Promise<[number | null, string]> => {
      const { code, err } = await command(['jobs', 'list', '--url', address], { SLUICE_API_KEY: 'good' })
      return [code, err]
    }
    expect(await says('foo')).toEqual([
      2,
      'sluice: --url: "foo" is not an http or https address. Did you mean "http://foo"?\n',
    ])
    expect(await says('localhost:4100')).toEqual([2, expect.stringContaining('Did you mean "http://localhost:4100"?')])
    expect(await says('http://key@localhost')).toEqual([2, expect.stringContaining('leave the credentials out')])
    expect(await says(http.replace('http:', 'https:'))).toEqual([3, expect.stringContaining('does not speak TLS')])
    expect(await says('http://no-such-host.invalid')).toEqual([3, expect.stringContaining('was not found')])
    const env = { SLUICE_API_KEY: 'good', SLUICE_URL: '"foo"\r' }
    expect((await command(['jobs', 'list'], env)).err).toContain('SLUICE_URL: "foo" is not')
    const odd = await command(['jobs', 'list', '--url', http], { SLUICE_API_KEY: 'canary-kéy' })
    expect([odd.code, odd.err.includes('canary')]).toEqual([2, false])
  })

  it('is not fooled by a server that is no Sluice', async () => {
    const other = createServer((_request, response) => response.writeHead(404).end('<h1>nginx</h1>'))
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done))
    const address = `http://127.0.0.1:${(other.address() as AddressInfo).port}`
    const { code, err } = await command(['jobs', 'list', '--url', address], { SLUICE_API_KEY: 'good' })
    expect([code, err]).toEqual([1, expect.stringContaining('answered HTTP 404, but is not Sluice')])
    other.close()
  })
})

it('finds the admin key in the data folder', async () => {
  writeFileSync(join(dir, 'admin.key'), 'stored-by-the-tests-42\n')
  const server = createServer((request, response) =>
    response.end(JSON.stringify({ data: [], was: request.headers.authorization })),
  )
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const seen = new Promise<string | undefined>((done) =>
    server.once('request', (request) => done(request.headers.authorization)),
  )
  expect((await command(['keys', 'list', '--data-dir', '.', '--admin-port', String(port)])).code).toBe(0)
  expect(await seen).toBe('Bearer stored-by-the-tests-42')
  server.close()
})

describe('the first screen', () => {
  const { config } = loadConfig({ env: {} })
  const app = { publicUrl: 'http://127.0.0.1:4100', adminUrl: 'http://127.0.0.1:4101', createdKey: 'sk-sluice-made' }

  it('has a curl line that works as it is copied', () => {
    const lines = screen(app, config, 5)
    expect(lines.filter((line) => line.includes('sk-sluice-made'))).toHaveLength(2)
    const curl = lines.find((line) => line.startsWith('curl '))!
    const body = /-d '(.*)'$/.exec(curl)![1]
    expect(body).not.toContain("'")
    expect(JSON.parse(body)).toEqual({ model: 'demo', stream: true, messages: [{ role: 'user', content: 'Hello' }] })
    expect(curl).toContain('-H "authorization: Bearer sk-sluice-made"')
  })

  it('says how to get another key when there is one already', () => {
    const text = screen({ ...app, createdKey: null }, config, 5).join('\n')
    expect(text).toContain('npx sluice keys create')
    expect(text).toContain('Bearer $SLUICE_API_KEY')
  })
})

describe('doctor', () => {
  const config = (yaml: string) => {
    const file = join(dir, 'doctor.yaml')
    writeFileSync(file, yaml)
    return loadConfig({ file, env: {} }).config
  }

  it('knows an old Node, a folder that can not be, and a full disk', () => {
    writeFileSync(join(dir, 'admin.key'), '')
    const admin = loadConfig({ env: {} }).config.admin
    expect(checkAdminKey({ admin, dataDir: dir })[0]).toMatchObject({
      verdict: 'failed',
      detail: expect.stringContaining('is empty'),
    })
    expect(checkAdminKey({ admin, dataDir: join(dir, 'none') })[0].verdict).toBe('ok')
    expect(checkNode('20.1.0').verdict).toBe('failed')
    expect(checkNode('24.1.0').verdict).toBe('ok')
    expect(checkFolder(dir, 'power').verdict).toBe('ok')
    expect(checkFolder(join(dir, 'a/b/c'), 'power').detail).toContain('will be created at first start')
    expect(checkFolder('/proc/none', 'power')).toMatchObject({ verdict: 'failed', detail: /\/proc\/none.*\/proc: / })
    writeFileSync(join(dir, 'file'), 'x')
    symlinkSync(join(dir, 'nowhere'), join(dir, 'link'))
    for (const [name, why] of [
      ['file', /not a folder/],
      ['file/data', /not a folder/],
      ['link', /link to .*nowhere/],
      ['x'.repeat(300), /too long/],
    ] as const)
      expect(checkFolder(join(dir, name), 'power')).toMatchObject({ verdict: 'failed', detail: why })
    mkdirSync(join(dir, 'open'), { mode: 0o755 })
    expect(checkFolder(join(dir, 'open'), 'power')).toMatchObject({ verdict: 'note', detail: /chmod 700/ })
    writeFileSync(join(dir, 'open', 'sluice.db'), 'not a database at all')
    expect(checkFolder(join(dir, 'open'), 'power')).toMatchObject({ verdict: 'failed', detail: /not an SQLite/ })
    expect(checkFolder('/proc/none', 'memory').verdict).toBe('note')
    expect(checkDisk({ dataDir: dir, retention: { bytes: Number.MAX_SAFE_INTEGER } }).verdict).toBe('note')
    expect(checkDisk({ dataDir: '/proc', retention: { bytes: 1 } }).verdict).toBe('failed')
  })

  it('tells of a secret that is missing in one row, and checks the rest', async () => {
    const file = join(dir, 'missing.yaml')
    const models = 'models: [{ name: a, provider: openai, api_key: { env: NOT_SET } }, { name: demo, provider: demo }]'
    writeFileSync(file, `port: 0\nadmin: { port: 0 }\ndata_dir: ${join(dir, 'missing')}\n${models}\n`)
    const { code, out } = await command(['doctor', '--quiet', '--config', file])
    expect(code).toBe(1)
    const failed = out.split('\n').filter((line) => line.startsWith('FAILED'))
    expect(failed).toEqual([expect.stringContaining('models[0].api_key: the environment variable NOT_SET is not set')])
    expect(out).toMatch(/^ok +demo@demo /m)
  })

  it('tells one fault once, with one colon', async () => {
    for (const [folder, durability] of [
      ['/proc/none', 'power'],
      ['/proc/none', 'memory'],
    ]) {
      const checks = await checkAll(config(`port: 0\ndata_dir: ${folder}\ndurability: ${durability}\n`), [])
      const failed = checks.filter(({ verdict }) => verdict === 'failed')
      expect(failed.map(({ name }) => name)).toEqual(durability === 'power' ? ['data_dir'] : [])
      for (const { detail } of failed) expect(detail.split(': ').length).toBeLessThanOrEqual(2)
    }
  })

  describe('what a provider answers, and which setting is to blame', () => {
    const server = createServer(({ url, headers }, response) => {
      const isKnown = headers.authorization === 'Bearer good'
      response.writeHead(url !== '/v1/models' ? 404 : isKnown ? 200 : 401).end('{}')
    })
    const port = new Promise<number>((done) =>
      server.listen(0, '127.0.0.1', () => done((server.address() as AddressInfo).port)),
    )
    afterAll(() => void server.close())
    it.each([
      ['/v1', 'KEY_GOOD', 'ok', 'reachable'],
      ['/v1', 'KEY_BAD', 'failed', 'the provider refused the api_key (HTTP 401)'],
      ['/v1', null, 'failed', 'no api_key is configured, and the provider requires one (HTTP 401)'],
      ['', 'KEY_GOOD', 'ok', 'reachable'],
      ['/api', 'KEY_GOOD', 'failed', 'HTTP 404: base_url has no "/v1" at its end, which most providers need'],
      ['/openai/', 'KEY_GOOD', 'failed', 'base_url has no "/v1" at its end'],
      ['/chat/completions', 'KEY_BAD', 'failed', '(HTTP 401)'],
      ['/api/chat/completions', 'KEY_GOOD', 'failed', 'HTTP 404: base_url must end before "/chat/completions"'],
      ['/v1/models/', 'KEY_GOOD', 'failed', 'base_url must end before "/models"'],
      ['/api/v1', 'KEY_GOOD', 'failed', 'HTTP 404: check base_url'],
    ] as const)('%s with %s', async (path, key, verdict, detail) => {
      const file = join(dir, 'provider.yaml')
      const base = `http://127.0.0.1:${await port}${path}`
      const secret = key === null ? '' : `, api_key: { env: ${key} }`
      writeFileSync(
        file,
        `port: 0\ndata_dir: ${dir}\nmodels: [{ name: m, provider: openai-compatible, base_url: "${base}"${secret} }]\n`,
      )
      const loaded = loadConfig({ file, env: { KEY_GOOD: 'good', KEY_BAD: 'bad' } }).config
      const checks = await checkAll(loaded, (await openForCheck(loaded)).providers)
      expect(checks.find(({ name }) => name.startsWith('m@'))).toMatchObject({
        verdict,
        detail: expect.stringContaining(detail),
      })
    })
  })

  it('tells its own ports from those of others', async () => {
    const answers = ['hello', '{"error":{"code":"missing_api_key"}}']
    for (const [i, text] of answers.entries()) {
      const server = createServer((_request, response) => response.end(text))
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
      const { port } = server.address() as AddressInfo
      expect((await checkPort('port', '127.0.0.1', port)).verdict).toBe(i === 0 ? 'failed' : 'ok')
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
      expect((await checkPort('port', '127.0.0.1', port)).detail).toContain('is free')
    }
  })

  it('asks every provider, and closes it', async () => {
    let closed = 0
    const provider = (check: () => Promise<{ ok: boolean; detail: string }>) => ({ check, close: () => void closed++ })
    const checks = await checkAll(
      config(
        `port: 0\ndata_dir: ${dir}\nmodels: [{ name: a, provider: openai-compatible, base_url: ` +
          `"http://127.0.0.1:1", ca_file: "${dir}/none.pem" }]\n`,
      ),
      [
        { name: 'good', provider: provider(async () => ({ ok: true, detail: 'fine' })) },
        { name: 'bad', provider: provider(async () => ({ ok: false, detail: 'refused' })) },
        { name: 'broken', provider: provider(async () => Promise.reject(new Error('bug'))) },
      ],
    )
    const verdicts = Object.fromEntries(checks.map((check) => [check.name, check.verdict]))
    expect(verdicts).toMatchObject({
      node: 'ok',
      data_dir: 'ok',
      port: 'ok',
      good: 'ok',
      bad: 'failed',
      broken: 'failed',
      'a: ca_file': 'failed',
    })
    expect(closed).toBe(3)
  })
})

it('writes times and tables for people', () => {
  expect([0, 1_000, 119_000, 120_000, 7_200_000, 172_800_000].map(ago)).toEqual([
    'now',
    '1 s ago',
    '119 s ago',
    '2 min ago',
    '2 h ago',
    '2 d ago',
  ])
  const job = {
    id: 'job_22',
    state: 'queued',
    model: 'm',
    lane: 'l',
    conversation: null,
    created_at: 0,
    attempts: 0,
    queue: { position: 3, eta_ms: null },
    usage: null,
    timing: null,
    error: null,
  }
  expect(jobTable([job], 5_000)[1]).toBe('job_22  queued  m      l     5 s ago  -       -     3 in line')
})
