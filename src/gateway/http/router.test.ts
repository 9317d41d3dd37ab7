import { expect, it } from 'vitest'
import type { Route } from './route.ts'
import { checkQuery, Router } from './router.ts'

const route = (method: Route['method'], path: string): Route => ({ method, path, auth: 'none', run: () => null })
const router = new Router([
  route('GET', '/jobs'),
  route('POST', '/jobs'),
  route('GET', '/jobs/:id'),
  route('DELETE', '/jobs/:id'),
  route('POST', '/jobs/:id/cancel'),
  route('GET', '/models/*id'),
  route('GET', '/v1/things'),
  route('GET', '/v1/things/:id'),
])

it.each<[string, string, string, Record<string, string>]>([
  ['GET', '/jobs', '/jobs', {}],
  ['GET', '/jobs/a', '/jobs/:id', { id: 'a' }],
  ['HEAD', '/jobs/a?x=1', '/jobs/:id', { id: 'a' }],
  ['GET', '/jobs/a%2Fb%20c', '/jobs/:id', { id: 'a/b c' }],
  ['POST', '/jobs/a/cancel', '/jobs/:id/cancel', { id: 'a' }],
  ['GET', '/models/openai/gpt', '/models/*id', { id: 'openai/gpt' }],
  ['GET', '/models/openai%2Fgpt', '/models/*id', { id: 'openai/gpt' }],
  // As SDKs make them of a base URL without its "/v1", with it twice, or with a slash at the end
  ['GET', '/things', '/v1/things', {}],
  ['GET', '/things/a', '/v1/things/:id', { id: 'a' }],
  ['GET', '/v1/v1/things', '/v1/things', {}],
  ['GET', '/v1/v1/v1/things/a/', '/v1/things/:id', { id: 'a' }],
  ['GET', '/v1/things/', '/v1/things', {}],
  ['GET', '/things/?x=1', '/v1/things', {}],
  ['GET', '/jobs/', '/jobs', {}],
  ['GET', '/models/demo/', '/models/*id', { id: 'demo' }],
  // A name may be one of the words
  ['GET', '/v1/things/v1', '/v1/things/:id', { id: 'v1' }],
])('%s %s', (method, target, path, params) => {
  const found = router.find(method, target)
  expect([found.route.path, found.params]).toEqual([path, params])
})

it.each([
  ['GET', '/', 'route_not_found'],
  ['GET', '/v1', 'route_not_found'],
  ['GET', '/v1/v1', 'route_not_found'],
  ['GET', '/v1/', 'route_not_found'],
  ['DELETE', '/jobs/', 'method_not_allowed'],
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

it('a method that a route lacks: those it has', () => {
  expect(() => router.find('PUT', '/jobs')).toThrow('This route supports GET and POST, not PUT.')
})

it('says which methods a path has, and reads the query', () => {
  expect(router.methods('/jobs?x')).toEqual(['HEAD', 'GET', 'POST'])
  expect(router.methods('/nowhere')).toEqual([])
  expect({ ...router.find('GET', '/jobs?a=1&b=x%20y&a=2&__proto__=z').query }).toEqual({
    a: ['1', '2'],
    b: 'x y',
    ['__proto__']: 'z',
  })
  // Twice the same is no contradiction: SDKs add their own query to that of a `location`
  expect({ ...router.find('GET', '/jobs?a=1&a=1').query }).toEqual({ a: '1' })
})

it.each([
  ['/responses', 'base URL'],
  ['/v1/v1/responses/resp_1', '/v1/responses'],
  ['/completions', '/v1/completions'],
  ['/v1/v1/messages', 'without /v1'],
  ['/v1/messages/batches', '/v1/batches with the endpoint /v1/messages'],
  ['/v1/images/upscale', '/v1/images/edits and /v1/images/variations are served'],
  ['/v1/v1/audio/speeches', '/v1/audio/speech'],
  ['/v1/videos', "That part of OpenAI's API is not served"],
  ['/v1/batches', 'Batches are at /v1/batches'],
  ['/batches', 'followed by /v1'],
  ['/v1beta/models/gemini:generateContent', 'Google'],
  ['/openai/deployments/gpt/chat/completions', 'Azure'],
  ['/api/chat', 'Ollama'],
  ['/v1/chat/completions/chat/completions', 'base URL'],
  ['/openai/v1/models', 'base URL'],
  ['/api/v1/chat/completions', 'base URL'],
  ['/admin/keys', 'its own listener'],
  ['/v1/thngs', 'Did you mean "/v1/things"?'],
  [`/${'a'.repeat(4_000)}`, '…. The API begins with /v1.'],
])('%s: the 404 names the way out', (path, text) => {
  expect(() => router.find('POST', path)).toThrow(
    expect.objectContaining({ code: 'route_not_found', message: expect.stringContaining(text) }),
  )
})

it('refuses a query parameter that the route does not know, and names the nearest', () => {
  const known = { ...route('GET', '/list'), query: ['state', 'limit'] }
  expect(() => checkQuery(known, { state: 'done', limit: '1' })).not.toThrow()
  expect(() => checkQuery(known, { stat: 'done' })).toThrow(
    '"stat" is not a query parameter of this route; it takes state, limit. Did you mean "state"?',
  )
  expect(() => checkQuery(route('GET', '/list'), { foo: '1' })).toThrow('it takes none')
  expect(() => checkQuery({ ...known, query: 'any' }, { foo: '1' })).not.toThrow()
})
