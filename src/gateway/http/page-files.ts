/** Files of a page: read when they are first asked for, kept in memory, compressed once. */
import { type Dirent, existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { SluiceError } from '../../core/errors.ts'
import type { Answered } from './answer.ts'
import type { Call } from './call.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.woff2': 'font/woff2',
  '.svg': 'image/svg+xml',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
}
const COMPRESSED = new Set(['.html', '.js', '.css', '.svg', '.json', '.webmanifest'])
const MAX_FILES = 200
const MAX_FILE_BYTES = 4 * 2 ** 20
/** Names of a build end in a hash of what they hold. */
const HASHED = /-[\w-]{8,}\.\w+$/

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; " +
    // Its icon
    "img-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
} as const

interface PageFile {
  readonly type: string
  readonly body: Buffer
  readonly zipped: Buffer | null
}

interface Build {
  /** Of its index: a new build has another. */
  readonly madeAtMs: number
  /** By path: "/index.html", "/assets/index-4f1ca09e.js". */
  readonly files: ReadonlyMap<string, PageFile>
}

const INDEX = '/index.html'
const ABSENT =
  'The dashboard is not built: run "npm ci" (or "npm run build:dashboard") in the folder of Sluice, then load ' +
  'this page again.'
const zip = promisify(gzip)

export class PageFiles {
  readonly #folder: string
  #build: Promise<Build> | null = null

  constructor(folder: string) {
    this.#folder = folder
  }

  /** The page itself, at whichever of its addresses. */
  async index(call: Call): Promise<Answered> {
    const { files } = await this.#current()
    const index = files.get(INDEX)
    if (index === undefined) throw new SluiceError('route_not_found', { message: ABSENT })
    return send(call, index, 'no-store')
  }

  async file(call: Call, path: string): Promise<Answered> {
    const { files } = await (this.#build ?? this.#current())
    const file = files.get(path)
    if (file === undefined) throw new SluiceError('route_not_found')
    return send(call, file, HASHED.test(path) ? 'public, max-age=31536000, immutable' : 'no-store')
  }

  async #current(): Promise<Build> {
    const madeAtMs = await stat(join(this.#folder, INDEX)).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    )
    const known = await this.#build
    if (known?.madeAtMs === madeAtMs) return known
    this.#build = read(this.#folder, madeAtMs)
    return this.#build.catch((error: unknown) => {
      this.#build = null
      throw error
    })
  }
}

async function read(folder: string, madeAtMs: number): Promise<Build> {
  const files = new Map<string, PageFile>()
  if (!existsSync(folder)) return { madeAtMs, files }
  const entries: Dirent[] = await readdir(folder, { withFileTypes: true, recursive: true })
  for (const entry of entries.filter((each) => each.isFile()).slice(0, MAX_FILES)) {
    const at = join(entry.parentPath, entry.name)
    const extension = extname(entry.name)
    const type = TYPES[extension]
    if (type === undefined || (await stat(at)).size > MAX_FILE_BYTES) continue
    const body = await readFile(at)
    const zipped = COMPRESSED.has(extension) ? await zip(body, { level: 9 }) : null
    files.set(at.slice(folder.length).replaceAll('\\', '/'), { type, body, zipped })
  }
  return { madeAtMs, files }
}

function send(call: Call, { type, body, zipped }: PageFile, caching: string): null {
  const { response, request } = call.exchange
  if (response.headersSent || response.destroyed) return null
  const takesGzip = /\bgzip\b(?!;q=0(?:\.0+)?(?:,|$))/.test(call.header('accept-encoding') ?? '')
  const sent = zipped !== null && takesGzip ? zipped : body
  response.writeHead(
    200,
    call.exchange.headers({
      ...HEADERS,
      'content-type': type,
      'content-length': String(sent.length),
      'cache-control': caching,
      ...(zipped !== null && { vary: 'accept-encoding' }),
      ...(sent === zipped && { 'content-encoding': 'gzip' }),
    }),
  )
  response.end(request.method === 'HEAD' ? undefined : sent)
  return null
}
