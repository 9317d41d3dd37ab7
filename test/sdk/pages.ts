/** Pages that are built by Vite, served with tickets for Sluice, and opened in Chromium. */
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Browser, chromium } from 'playwright-core'
import { build, type Rolldown } from 'vite'

const CHROMIUM = '/usr/bin/chromium'
export const NO_CHROMIUM = !existsSync(CHROMIUM)
const ARGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync']

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: CHROMIUM, args: ARGS })

export interface ServedPage {
  readonly origin: string
  /** Where Sluice is; tickets are for this user. */
  grant(sluice: { readonly url: string; readonly key: string }, user: string): void
  close(): void
}

/** `root`: of the page's index.html. */
export async function servePage(root: string): Promise<ServedPage> {
  const { output } = (await build({
    root,
    configFile: false,
    logLevel: 'error',
    resolve: { conditions: ['@sluice/source', 'module', 'browser'] },
    oxc: { jsx: { runtime: 'automatic', importSource: 'react', development: false } },
    // React's own checks, such as StrictMode's second mount, are in its development build alone
    define: { 'process.env.NODE_ENV': '"development"' },
    build: { write: false, minify: false, modulePreload: false },
  })) as Rolldown.RolldownOutput
  const files = new Map(output.map((file) => [`/${file.fileName}`, file.type === 'chunk' ? file.code : file.source]))
  let granted: { readonly url: string; readonly key: string; readonly user: string } | undefined
  let origin = ''

  async function ticket(): Promise<string> {
    const { url, key, user } = granted!
    const made = await fetch(`${url}/v1/tickets`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ user, origin }),
    })
    return made.text()
  }

  const server = createServer((request, response) => {
    request.resume()
    const { pathname } = new URL(request.url!, origin)
    if (pathname === '/ticket') {
      ticket().then(
        (body) => response.writeHead(200, { 'content-type': 'application/json' }).end(body),
        () => response.writeHead(502).end(),
      )
      return
    }
    const path = pathname === '/' ? '/index.html' : pathname
    const file = files.get(path)
    const type = path.endsWith('.html') ? 'text/html' : path.endsWith('.css') ? 'text/css' : 'text/javascript'
    if (file === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(file)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    origin,
    grant({ url, key }, user) {
      granted = { url, key, user }
    },
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
