/** Where a webhook may go: what is inside, in every spelling, and what a name turns out to be when it is called. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { isPublic, readAllowed, readTarget } from './address.ts'
import { post } from './post.ts'

const INSIDE = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '0177.0.0.1',
  '017700000001',
  '127.0.0.1.',
  '①②⑦.⓪.⓪.①',
  '0',
  '0.0.0.0',
  'localhost',
  'LOCALHOST',
  'localhost.',
  'a.localhost',
  'intranet',
  'db.internal',
  'printer.local',
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '100.64.0.1',
  '169.254.169.254',
  '169.254.1.1',
  '168.63.129.16',
  '0xa83f8110',
  '192.0.0.192',
  '198.18.0.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '[::1]',
  '[::]',
  '[0:0:0:0:0:0:0:1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[::ffff:169.254.169.254]',
  '[::127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b::169.254.169.254]',
  '[64:ff9b:1::a00:1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[fe80::1]',
  '[fec0::1]',
  '[ff02::1]',
  '[2001::1]',
  '[2001:db8::1]',
  '[2002:7f00:1::]',
  '[100::1]',
]

describe('readTarget', () => {
  it.each(INSIDE)('refuses %s', (host) => {
    expect(() => readTarget(`https://${host}/hook`, [])).toThrow('public internet')
  })

  it.each([
    'https://user@hooks.example.com/',
    'https://user:word@hooks.example.com/',
    'https://hooks.example.com:22/',
    'https://hooks.example.com:8443/',
    'http://hooks.example.com/',
    'ftp://hooks.example.com/',
    'file:///etc/passwd',
    'gopher://hooks.example.com/',
    'https://hooks.example.com/#a',
    'https://',
    'hooks.example.com',
    '',
    7,
    null,
    `https://hooks.example.com/${'x'.repeat(2_048)}`,
  ])('refuses %s', (url) => {
    expect(() => readTarget(url, [])).toThrow(/"url" must/)
  })

  it('takes what is on the internet', () => {
    for (const url of ['https://hooks.example.com/a?b=c', 'https://8.8.8.8/', 'https://[2606:4700::1111]:443/'])
      expect(readTarget(url, [])).toMatchObject({ port: 443, isAllowed: false })
  })

  it('takes what the operator has named, and nothing beside it', () => {
    const allowed = ['hooks.internal', '10.0.0.7:8080', '[fd00::1]'].map((text) => readAllowed(text)!)
    for (const url of [
      'http://hooks.internal/',
      'https://HOOKS.internal:9/',
      'http://10.0.0.7:8080/',
      'http://[fd00::1]/',
    ])
      expect(readTarget(url, allowed).isAllowed).toBe(true)
    for (const url of ['http://10.0.0.7/', 'http://10.0.0.8:8080/', 'https://a.hooks.internal/', 'http://[fd00::2]/'])
      expect(() => readTarget(url, allowed)).toThrow()
    for (const text of ['a/b', 'u@h', '', 'http://x', 'a b']) expect(readAllowed(text)).toBeNull()
  })
})

describe('post', () => {
  const OPTIONS = { clock: systemClock, timeoutMs: 1_000 }
  const at = (host: string, addresses: readonly string[]) =>
    post(
      readTarget(`https://${host}/`, []),
      {},
      '{}',
      { ...OPTIONS, resolve: async () => addresses },
      new AbortController().signal,
    )

  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '169.254.169.254',
    '::1',
    '::ffff:10.0.0.1',
    'fd00::1',
    '64:ff9b::a00:1',
    'not an address',
  ])('calls nothing where its name resolves to %s, alone or beside a public one', async (address) => {
    const failed = {
      kind: 'failed',
      why: 'address',
      reason: 'Its name resolves to an address that is not on the public internet.',
    }
    expect(await at('rebind.example.com', [address])).toEqual(failed)
    expect(await at('rebind.example.com', ['93.184.215.14', address])).toEqual(failed)
  })

  it('connects to the very address that was looked at: the name is asked once', async () => {
    const server = createServer((request, response) => void response.end(request.headers.host))
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    const target = readTarget(`http://name.example:${port}/`, [{ host: 'name.example', port: null }])
    let asked = 0
    const resolve = async (): Promise<readonly string[]> => (asked++ === 0 ? ['127.0.0.1'] : ['192.0.2.1'])
    const posted = await post(target, {}, '{}', { ...OPTIONS, resolve }, new AbortController().signal)
    expect(posted).toMatchObject({ kind: 'answered', status: 200 })
    expect(asked).toBe(1)
    server.close()
  })

  it('has no answer where there is no address', async () => {
    expect(await at('nowhere.example.com', [])).toEqual({
      kind: 'failed',
      why: 'name',
      reason: 'Its name could not be resolved.',
    })
  })
})

it('isPublic takes no text for an address', () => {
  for (const text of ['', 'localhost', '1.2.3', '1.2.3.4.5', '::g']) expect(isPublic(text)).toBe(false)
})
