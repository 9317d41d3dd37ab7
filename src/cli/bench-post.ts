/** A run or a comparison, kept on the dashboard of a Sluice: `--post URL` of its admin listener. */
import type { BenchRun } from '../bench/run.ts'
import type { Summary } from '../bench/summary.ts'
import { adminClient } from './client.ts'
import type { Args, Output } from './command.ts'

export async function postRun(args: Args, run: BenchRun, summary: Summary, out: Output): Promise<void> {
  await post(args, { ...run, summary }, out)
}

/** Throws what a command tells: no server there, no key, or not the right one. Minutes of measuring come after it. */
export const checkPost = async (args: Args): Promise<void> =>
  void (await clientOf(args).call('GET', '/admin/benchmarks'))

/** What fails here loses no result: it is on disk. */
export async function post(args: Args, body: unknown, out: Output): Promise<void> {
  const url = args.option('post')!
  try {
    await clientOf(args).call('POST', '/admin/benchmarks', { body })
    out.note(`kept on the dashboard of ${url}`)
  } catch (error) {
    out.note(`sluice: --post ${url}: ${(error as Error).message}`)
  }
}

const clientOf = (args: Args) =>
  adminClient({ ...args, option: (name) => args.option(name === 'admin-url' ? 'post' : name) })
