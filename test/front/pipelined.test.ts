/** What may come after a request on its connection before it is answered: another protocol does not overtake. */
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from './app.ts'
import { request } from './wire.ts'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app?.stop())

const auth = (): Record<string, string> => ({ authorization: `Bearer ${app.key}` })

/** Sends `bytes`, and reads until `isEnough`, or the close. */
const exchange = (bytes: Buffer, isEnough: (text: string) => boolean = () => false): Promise<string> =>
  new Promise((done) => {
    const socket = connect(app.port, '127.0.0.1')
    let text = ''
    socket.on('error', () => {})
    socket.on('data', (data) => {
      text += data.toString('latin1')
      if (isEnough(text)) socket.destroy()
    })
    socket.on('close', () => done(text))
    socket.write(bytes)
  })
const statuses = (text: string): readonly number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))

const post = (how: string, more: Record<string, string> = {}, body: object = {}): Buffer =>
  request(
    'POST',
    '/v1/chat/completions',
    { ...auth(), ...more },
    JSON.stringify({ model: 'demo', messages: [{ role: 'user', content: how }], ...body }),
  )
const SLOW = 'demo: tokens=2 delay=1 ttft=200'
const QUICK = 'demo: tokens=1 ttft=0'
const upgrade = (path = '/v1/ws'): Buffer =>
  request('GET', path, {
    ...auth(),
    upgrade: 'websocket',
    connection: 'upgrade',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-protocol': 'sluice.v1',
  })
/** A masked text frame: "hello". */
const FRAME = Buffer.from('818537fa213d7f9f4d5158', 'hex')
const CONNECT = Buffer.from('CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n')
const H2C = {
  upgrade: 'h2c',
  connection: 'Upgrade, HTTP2-Settings',
  'http2-settings': 'AAMAAABkAARAAAAAAAIAAAAA',
}

describe('an upgrade before the answers that are due', () => {
  it.each([
    ['a document', () => [post(SLOW)], [200, 400]],
    ['a stream', () => [post(SLOW, {}, { stream: true })], [200, 400]],
    ['several', () => [post(SLOW), post(SLOW), post(QUICK)], [200, 200, 200, 400]],
  ])('is refused in its turn: after %s', async (_name, before, wanted) => {
    const text = await exchange(Buffer.concat([...before(), upgrade()]), (t) => statuses(t).length === wanted.length)
    expect(statuses(text)).toEqual(wanted)
    expect(text).not.toContain('"welcome"')
  })

  it('with frames after it costs the connection', async () => {
    expect(statuses(await exchange(Buffer.concat([post(SLOW), upgrade(), FRAME])))).toEqual([200, 400, 400])
  })

  it('is taken once they have come', async () => {
    const text = await new Promise<string>((done) => {
      const socket = connect(app.port, '127.0.0.1')
      let all = ''
      socket.on('data', (data) => {
        all += data.toString('latin1')
        if (statuses(all).length === 1 && all.includes('"usage"')) socket.write(upgrade())
        if (statuses(all).includes(101)) socket.destroy()
      })
      socket.on('close', () => done(all))
      socket.write(post(QUICK))
    })
    expect(statuses(text)).toEqual([200, 101])
  })
})

describe('CONNECT', () => {
  it.each([
    ['alone', () => [], [405]],
    ['after a document', () => [post(SLOW)], [200, 405]],
    ['after a stream', () => [post(SLOW, {}, { stream: true })], [200, 405]],
    ['after several', () => [post(SLOW), post(QUICK)], [200, 200, 405]],
  ])('is refused: %s', async (_name, before, wanted) => {
    expect(statuses(await exchange(Buffer.concat([...before(), CONNECT, FRAME])))).toEqual(wanted)
  })

  it('does not stop a long answer before it', async () => {
    const long = post('demo: tokens=40000 delay=0 ttft=0', {}, { stream: true })
    const text = await exchange(Buffer.concat([long, CONNECT]))
    expect(statuses(text)).toEqual([200, 405])
    expect(text).toContain('data: [DONE]')
  })

  it('of a client that resets the connection harms nobody', async () => {
    const socket = connect(app.port, '127.0.0.1')
    await new Promise<void>((done) => socket.write(Buffer.concat([post(SLOW), CONNECT]), () => done()))
    socket.resetAndDestroy()
    expect(statuses(await exchange(CONNECT))).toEqual([405])
  })
})

describe('the offer of h2c', () => {
  it('is ignored, and the connection kept', async () => {
    const text = await new Promise<string>((done) => {
      const socket = connect(app.port, '127.0.0.1')
      let all = ''
      let sent = 1
      socket.on('data', (data) => {
        all += data.toString('latin1')
        if (!all.endsWith('}') || statuses(all).length < sent) return
        if (sent++ < 3) socket.write(post(QUICK, H2C))
        else socket.destroy()
      })
      socket.on('close', () => done(all))
      socket.write(post(QUICK, H2C))
    })
    expect(statuses(text)).toEqual([200, 200, 200])
  })

  it.each([
    ['first', () => [post(SLOW, H2C), post(QUICK)], [200, 400]],
    ['second', () => [post(SLOW), post(SLOW, H2C), post(QUICK), post(QUICK)], [200, 200, 400]],
    ['of a GET', () => [request('GET', '/v1/models', { ...auth(), ...H2C }), post(QUICK)], [200, 400]],
  ])('what follows it at once is refused, and not dropped: %s', async (_name, all, wanted) => {
    expect(statuses(await exchange(Buffer.concat(all())))).toEqual(wanted)
  })

  it('the same where the body comes in pieces', async () => {
    const whole = Buffer.concat([post(SLOW, H2C), post(QUICK)])
    const text = await new Promise<string>((done) => {
      const socket = connect({ port: app.port, host: '127.0.0.1', noDelay: true })
      let all = ''
      socket.on('data', (data) => (all += data.toString('latin1')))
      socket.on('close', () => done(all))
      socket.write(whole.subarray(0, 250))
      setTimeout(() => socket.write(whole.subarray(250)), 30)
    })
    expect(statuses(text)).toEqual([200, 400])
  })
})
