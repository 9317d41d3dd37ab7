/** A run or a comparison, kept on the dashboard of a Sluice: `--post URL` of its admin listener. */
import type { BenchRun } from '../bench/run.ts'
import type { Summary } from '../bench/summary.ts'
import { adminClient } from './client.ts'
import type { Args, Output } from './command.ts'

export async function postRun(args: Args, run: BenchRun, summary: Summary, out: Output): Promise<void> {
  await post(args, { ...run, summary }, out)
}

/** What fails here loses no result: it is on disk. */
export async function post(args: Args, body: unknown, out: Output): Promise<void> {
  const url = args.option('post')!
  const client = adminClient({ ...args, option: (name) => (name === 'admin-url' ? url : args.option(name)) })
  try {
    await client.call('POST', '/admin/benchmarks', { body })
    out.note(`kept on the dashboard of ${url}`)
  } catch (error) {
    out.note(`sluice: --post ${url}: ${(error as Error).message}`)
  }
}
