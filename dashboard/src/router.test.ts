import { expect, it } from 'vitest'
import { hrefOf, match, rangeOf, shifted } from './router.ts'

it.each([
  ['/', '/', {}],
  ['/jobs', '/jobs/', {}],
  ['/jobs/:job', '/jobs/job_1', { job: 'job_1' }],
  ['/models/:name', '/models/meta%2Fllama%23a', { name: 'meta/llama#a' }],
  ['/jobs/:job', '/jobs', null],
  ['/jobs/:job', '/jobs/a/b', null],
  ['/jobs/:job', '/jobs/%E0%A4%A', null],
  ['/', '/nowhere', null],
])('%s of %s', (pattern, path, found) => expect(match(pattern, path)).toEqual(found))

const params = (text: string) => new URLSearchParams(text)

it('the range is the last while, or a piece of the past; what is neither is the live one', () => {
  expect(rangeOf(params('range=6h'))).toBe('6h')
  expect(rangeOf(params('from=1000&to=61000'))).toEqual({ fromMs: 1_000, toMs: 61_000 })
  for (const odd of ['', 'range=9y', 'from=5000&to=1000', 'from=x&to=y', 'from=1000&to=1500'])
    expect(rangeOf(params(odd))).toBe('15m')
})

it('a link keeps range and node, unless it brings its own', () => {
  const from = params('range=6h&node=b&kind=late')
  expect(hrefOf('/jobs', from)).toBe('/jobs?range=6h&node=b')
  expect(hrefOf('/jobs?state=done', from)).toBe('/jobs?state=done&range=6h&node=b')
  expect(hrefOf('/jobs?from=1&to=2', from)).toBe('/jobs?from=1&to=2&node=b')
  expect(hrefOf('/', params(''))).toBe('/')
})

it('shifting back leaves the present; shifting on comes back to it', () => {
  const nowMs = 10_000_000
  const before = shifted('15m', -1, nowMs)
  expect(before).toEqual({ fromMs: nowMs - 1_800_000, toMs: nowMs - 900_000 })
  expect(shifted(before, 1, nowMs)).toBe('15m')
  expect(shifted({ fromMs: 1_000_000, toMs: 1_600_000 }, 1, nowMs)).toEqual({ fromMs: 1_600_000, toMs: 2_200_000 })
})
