/**
 * Imported first (`node --import`, or NODE_OPTIONS for all threads and children), it makes a process one of the next
 * version: it reads a newer layout of the store, and all that it says and stores has members, and messages, of which
 * this version knows nothing.
 */
import { registerHooks } from 'node:module'

const CHANGES: Readonly<Record<string, ReadonlyArray<readonly [from: string, to: string]>>> = {
  'protocol/version.ts': [
    ['VERSION = 1', 'VERSION = 2'],
    ['LAYOUT = 2', 'LAYOUT = 3'],
  ],
  'protocol/commands.ts': [
    ['requests.map(packed)', 'requests.map((each) => ({ ...(packed(each) as object), later: { version: 2 } }))'],
  ],
  'protocol/rows.ts': [
    ['const row = { i: id,', 'const row = { later: [2], i: id,'],
    ['JSON.stringify({ n: attempts,', 'JSON.stringify({ later: [2], n: attempts,'],
    ['JSON.stringify(rest)', 'JSON.stringify({ later: [2], ...rest })'],
  ],
  'protocol/usage.ts': [['    j: job,', '    later: [2],\n    j: job,']],
  'protocol/levels.ts': [['JSON.stringify({ t: ', 'JSON.stringify({ later: [2], t: ']],
  'coordinator/commit.ts': [
    [
      'JSON.stringify(mail)',
      "JSON.stringify([{ type: 'later', n: 1 }, ...mail.map((each) => ({ later: 2, ...each }))])",
    ],
    ["{ type: 'leased', leases: notes }", "{ type: 'leased', leases: notes.map((note) => ({ later: 2, ...note })) }"],
  ],
  'coordinator/replies.ts': [['JSON.stringify(mail)', "JSON.stringify([{ type: 'later', n: 1 }, ...mail])"]],
  'work/beats.ts': [['JSON.stringify([beat])', "JSON.stringify([{ type: 'later' }, { ...beat, later: 2 }])"]],
}

registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    const changes = CHANGES[/\/engines\/redis\/(.+)$/.exec(url)?.[1] ?? '']
    if (changes === undefined) return loaded
    let source = Buffer.from(loaded.source as Uint8Array).toString()
    for (const [from, to] of changes) {
      if (!source.includes(from)) throw new Error(`"${from}" is not in ${url} any more`)
      source = source.replaceAll(from, to)
    }
    return { ...loaded, source }
  },
})
