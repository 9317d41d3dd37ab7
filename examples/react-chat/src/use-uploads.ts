/**
 * Files as jobs of one lane: they wait in line and are read one after the other. Nothing is stored here: after a reload
 * Sluice is asked for the lane's jobs.
 */
import type { Job, WireJob } from '@sluice/client'
import { useEffect, useState } from 'react'
import { request, sluice } from './sluice.ts'

const LANE = 'uploads'
const SHOWN = 50
/** Larger ones belong into a store of files, with their address in the message. */
const MOST_BYTES = 5_000_000

export interface Upload {
  readonly key: string
  readonly name: string
  readonly job: Job
}

export interface Uploads {
  readonly uploads: readonly Upload[]
  /** Why a file was not taken. */
  readonly problem: string
  add(files: Iterable<File>, instruction: string): void
}

export function useUploads(): Uploads {
  const [uploads, setUploads] = useState<readonly Upload[]>([])
  const [problem, setProblem] = useState('')

  useEffect(() => {
    let isShown = true
    sluice.http('GET', `/v1/jobs?lane=${LANE}&limit=${SHOWN}`).then(
      (list) => {
        const { data } = list as { readonly data: readonly WireJob[] }
        const known = data.map((job) => ({
          key: job.metadata['key'] ?? job.id,
          name: job.metadata['file'] ?? job.id,
          job: sluice.attach(job.id),
        }))
        // Those of this page are newer, and may be among them
        if (isShown) setUploads((own) => [...own, ...known.filter(({ key }) => !own.some((one) => one.key === key))])
      },
      (error: Error) => isShown && setProblem(error.message),
    )
    return () => {
      isShown = false
    }
  }, [])

  async function add(files: Iterable<File>, instruction: string): Promise<void> {
    setProblem('')
    for (const file of files) {
      if (file.size > MOST_BYTES) {
        setProblem(`${file.name} is larger than ${MOST_BYTES / 1_000_000} MB.`)
        continue
      }
      const key = crypto.randomUUID()
      const content = [{ type: 'text', text: `${instruction}\n\nFile: ${file.name}` }, await partOf(file)]
      const job = sluice.submit({
        request: { ...request, messages: [{ role: 'user', content }] },
        lane: LANE,
        metadata: { key, file: file.name.slice(0, 200) },
      })
      setUploads((all) => [{ key, name: file.name, job }, ...all])
    }
  }
  return {
    uploads,
    problem,
    add: (files, instruction) => void add(files, instruction).catch((error: Error) => setProblem(error.message)),
  }
}

/** As a part of a message, in OpenAI's form. */
async function partOf(file: File): Promise<object> {
  if (file.type.startsWith('text/') || file.type === 'application/json')
    return { type: 'text', text: await file.text() }
  const url = await new Promise<string>((done, fail) => {
    const reader = new FileReader()
    reader.onload = () => done(reader.result as string)
    reader.onerror = () => fail(new Error(`${file.name} can't be read.`))
    reader.readAsDataURL(file)
  })
  if (file.type.startsWith('image/')) return { type: 'image_url', image_url: { url } }
  return { type: 'file', file: { filename: file.name, file_data: url } }
}
