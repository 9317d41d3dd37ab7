import { expect, it } from 'vitest'
import { urlOf } from './address.ts'

it.each([
  ['127.0.0.1', 'http://127.0.0.1:1'],
  ['0.0.0.0', 'http://127.0.0.1:1'],
  ['::', 'http://[::1]:1'],
  ['fd00::2', 'http://[fd00::2]:1'],
  ['a.example', 'http://a.example:1'],
])('a listener on %s is reached at %s', (host, url) => {
  expect(urlOf({ host, port: 1 })).toBe(url)
})
