import { expect, it } from 'vitest'
import type { Route } from './route.ts'
import { Router } from './router.ts'

const route = (method: Route['method'], path: string): Route => ({ method, path, auth: 'none', run: () => {} })
const router = new Router([
  route('GET', '/jobs'),
  route('POST', '/jobs'),
  route('GET', '/jobs/:id'),
  route('DELETE', '/jobs/:id'),
  route('POST', '/jobs/:id/cancel'),
  route('GET', '/models/*id'),
])

it.each<[string, string, string, Record<string, string>]>([
  ['GET', '/jobs', '/jobs', {}],
  ['GET', '/jobs/a', '/jobs/:id', { id: 'a' }],
  ['HEAD', '/jobs/a?x=1', '/jobs/:id', { id: 'a' }],
  ['GET', '/jobs/a%2Fb%20c', '/jobs/:id', { id: 'a/b c' }],
  ['POST', '/jobs/a/cancel', '/jobs/:id/cancel', { id: 'a' }],
  ['GET', '/models/openai/gpt', '/models/*id', { id: 'openai/gpt' }],
  ['GET', '/models/openai%2Fgpt', '/models/*id', { id: 'openai/gpt' }],
])('%s %s', (method, target, path, params) => {
  const found = router.find(method, target)
  expect([found.route.path, found.params]).toEqual([path, params])
})

it.each([
  ['GET', '/', 'route_not_found'],
  ['GET', '/jobs/', 'route_not_found'],
  ['GET', '/Jobs', 'route_not_found'],
  ['GET', '/jobs/a/b', 'route_not_found'],
  ['GET', '/models/', 'route_not_found'],
  ['GET', '/jobs//cancel', 'route_not_found'],
  ['PUT', '/jobs', 'method_not_allowed'],
  ['GET', '/jobs/a/cancel', 'method_not_allowed'],
  ['GET', '/jobs/%E0%A4%A', 'invalid_request'],
])('%s %s: %s', (method, target, code) => {
  expect(() => router.find(method, target)).toThrow(expect.objectContaining({ code }))
})

it('says which methods a path has, and reads the query', () => {
  expect(router.methods('/jobs?x')).toEqual(['HEAD', 'GET', 'POST'])
  expect(router.methods('/nowhere')).toEqual([])
  expect({ ...router.find('GET', '/jobs?a=1&b=x%20y&a=2&__proto__=z').query }).toEqual({
    a: ['1', '2'],
    b: 'x y',
    ['__proto__']: 'z',
  })
})
