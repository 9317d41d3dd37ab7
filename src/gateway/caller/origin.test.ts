/** One origin, however it is spelled. */
import { expect, it } from 'vitest'
import { isOwnOrigin, normalOrigin } from './origin.ts'

it.each([
  ['https://app.example.com', 'https://APP.example.com'],
  ['https://app.example.com', 'HTTPS://app.example.com:443'],
  ['https://app.example.com', 'https://app.example.com.'],
  ['https://app.example.com', 'https://app.example.com/'],
  ['http://app.example.com', 'http://app.example.com:80'],
  ['http://app.example.com:443', 'http://app.example.com:443'],
  ['https://app.example.com:8443', 'https://app.example.com:08443'],
  ['https://[::1]:4100', 'https://[0:0:0:0:0:0:0:1]:4100'],
  ['https://xn--bcher-kva.example', 'https://bücher.example'],
  ['tauri://localhost', 'tauri://LOCALHOST'],
  ['chrome-extension://abcdef', 'chrome-extension://abcdef'],
  ['null', 'null'],
  ['*', '*'],
  ['app.example.com', 'app.example.com'],
  ['https://a.example/path', 'https://a.example/path'],
  ['https://user@a.example', 'https://user@a.example'],
])('%s is also %s', (normal, text) => {
  expect(normalOrigin(text)).toBe(normal)
})

it.each([
  ['https://app', 'app'],
  ['https://app', 'app:443'],
  ['https://app', 'APP:443'],
  ['https://app', 'app.'],
  ['https://app.', 'app'],
  ['https://app', 'app:80'],
  ['https://app:443', 'app'],
  ['http://app', 'app:80'],
  ['http://127.0.0.1:4100', '127.0.0.1:4100'],
  ['http://[::1]:4100', '[::1]:4100'],
  ['http://[::1]:4100', '[0:0:0:0:0:0:0:1]:4100'],
  ['https://app:8443', 'app:8443'],
])('a page of %s calls its own host %s', (origin, host) => {
  expect(isOwnOrigin(origin, host)).toBe(true)
})

it.each<[string, string | undefined]>([
  ['https://app', 'other'],
  ['https://app:8443', 'app'],
  ['https://app', 'app:8443'],
  ['https://app', 'evil@app'],
  ['https://app', 'app/evil'],
  ['https://app.evil', 'app'],
  ['null', 'null'],
  ['null', undefined],
  ['https://app', undefined],
  ['file://', ''],
  ['', ''],
])('a page of %s does not own %s', (origin, host) => {
  expect(isOwnOrigin(origin, host)).toBe(false)
})
