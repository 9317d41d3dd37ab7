/** A run or a comparison, kept on the dashboard of a Sluice: `--post URL` of its admin listener. */
import { type Findings, sentenceOf } from '../bench/console.ts'
import { adminClient } from './client.ts'
import type { Args, Output } from './command.ts'

export const postRun = (args: Args, findings: Findings, out: Output): Promise<boolean> =>
  post(args, { ...findings.run, summary: findings.summary, sentence: sentenceOf(findings) }, out)

/** Throws what a command tells: no server there, no key, or not the right one. Minutes of measuring come after it. */
export const checkPost = async (args: Args): Promise<void> =>
  void (await clientOf(args).call('GET', '/admin/benchmarks'))

/** False: it is not kept there, which is told; no result is lost, as it is on disk. */
export async function post(args: Args, body: unknown, out: Output): Promise<boolean> {
  const url = args.option('post')!
  try {
    await clientOf(args).call('POST', '/admin/benchmarks', { body })
    out.note(`kept on the dashboard of ${url}`)
    return true
  } catch (error) {
    out.note(`sluice: --post ${url}: ${(error as Error).message}`)
    return false
  }
}

const clientOf = (args: Args) =>
  adminClient({ ...args, option: (name) => args.option(name === 'admin-url' ? 'post' : name) })
