/** What a commit stores, as its script takes it. */
import { expect, it } from 'vitest'
import { Commit } from './commit.ts'

/** The commands on keys of the shard. */
function changesOf(commit: Commit): ReadonlyArray<readonly unknown[]> {
  const args = [...commit.args('t', 0, 1, 0)]
  const changes: unknown[][] = []
  for (let at = 6, left = Number(args[5]); left > 0; left--) {
    const end = at + 3 + Number(args[at])
    changes.push(args.slice(at + 1, end))
    at = end
  }
  return changes
}

it('of a level that was forgotten and made anew, or the other way round, the last counts', () => {
  const commit = new Commit()
  commit.level('anew', null)
  commit.level('anew', '1')
  commit.level('gone', '2')
  commit.level('gone', null)
  commit.level('kept', '3')
  expect(changesOf(commit)).toEqual([
    ['HSET', 'lim', 'anew', '1', 'kept', '3'],
    ['HDEL', 'lim', 'gone'],
  ])
})
