/** What can be seen of a store through its ports: the same before and after it was moved. */
import { hash } from 'node:crypto'
import type { Job, JobId } from '../../src/core/job.ts'
import { isTerminal } from '../../src/core/job.ts'
import { DOCUMENT_KINDS } from '../../src/core/ports/documents.ts'
import type { Engine } from '../../src/core/ports/engine.ts'
import type { StoredFile } from '../../src/core/ports/files.ts'
import { patterned } from '../conformance/files.ts'
import { readAll, readConversation } from '../conformance/harness.ts'
import { recordsOf, sumsOf } from '../conformance/ledger.ts'

/** No part of a job as a client sees it. */
const HIDDEN = ['body', 'isRetry']

/** Names of the tenants and conversations that were used: a port lists those of one tenant. */
export async function portrait(engine: Engine, tenants: readonly string[]) {
  const jobs = await allJobs(engine)
  const places = await engine.jobs.places(jobs.map(({ id }) => id))
  const shown = []
  for (const job of jobs) {
    const log = await engine.log.head(job.id)
    const { records, epoch } = log === null ? { records: [], epoch: 0 } : await readAll(engine, job.id)
    const isOver = isTerminal(job.state)
    shown.push({
      // A job that waits is dated by the clock of its store, and its log goes on in an epoch of its own
      ...strip(job, isOver ? HIDDEN : [...HIDDEN, 'acceptedAtMs', 'epoch']),
      request: Buffer.from((await engine.jobs.request(job.id)) ?? []).toString(),
      records,
      ...(isOver && { logEpoch: epoch }),
      position: places.get(job.id)?.position,
    })
  }
  const conversations = []
  for (const tenant of tenants)
    for (const { id, ...info } of (await engine.conversations.list(tenant, { limit: 1_000 })).conversations) {
      const read = await readConversation(engine, tenant, id)
      const instructions = await engine.conversations.instructions(tenant, id)
      conversations.push({ tenant, id, ...strip(info, ['updatedAtMs']), turns: read!.turns, instructions })
    }
  return {
    jobs: shown,
    conversations,
    keys: (await engine.keys.list()).map((key) => ({ ...key })).sort((a, b) => (a.id < b.id ? -1 : 1)),
    tenants: await engine.tenants.list(),
    audit: await engine.audit.list(100),
    documents: (await Promise.all(DOCUMENT_KINDS.map((kind) => engine.documents.list(kind, { limit: 1_000 })))).flat(),
    files: (await Promise.all(tenants.map((tenant) => filesOf(engine, tenant)))).flat(),
    due: await engine.documents.due('batch', 1_000),
    paused: [...(await engine.operations.paused())].map((one) => JSON.stringify(one)).sort(),
    depth: await engine.operations.depth(),
    sums: await sumsOf(engine),
    records: await recordsOf(engine),
  }
}

/** Of `acme`. */
export async function putFile({ files }: Engine, bytes: number): Promise<StoredFile> {
  const facts = { purpose: 'batch', name: 'ä', type: 'text/plain', user: null, expiresAtMs: null }
  let file = await files.create({ ...facts, tenant: 'acme' })
  const all = patterned(bytes)
  for (let at = 0; at < bytes; at += 400_000) file = (await files.append(file.id, at, all.subarray(at, at + 400_000)))!
  return bytes % 2 === 0 ? file : (await files.seal(file.id))!
}

export async function bytesOf({ files }: Engine, { id, bytes }: StoredFile): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of files.read(id, 0, bytes)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function filesOf(engine: Engine, tenant: string): Promise<readonly object[]> {
  const files = await engine.files.list({ tenant, limit: 100 })
  return Promise.all(files.map(async (file) => ({ ...file, sha256: hash('sha256', await bytesOf(engine, file)) })))
}

export async function allJobs({ jobs }: Engine): Promise<readonly Job[]> {
  const found: Job[] = []
  for (let before: JobId | undefined; ; ) {
    const page = await jobs.list({ limit: 100, ...(before !== undefined && { before }) })
    found.push(...page)
    if (page.length < 100) return found
    before = page.at(-1)!.id
  }
}

const strip = (value: object, without: readonly string[]): object =>
  Object.fromEntries(Object.entries(value).filter(([name, of]) => !without.includes(name) && of !== undefined))
