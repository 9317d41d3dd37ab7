#!/usr/bin/env bash
# The package as users get it: packed, installed into an empty folder, started with npx, asked once, stopped. On an old
# Node it says so.
set -eu
repo=$(cd "$(dirname "$0")/.." && pwd)
# Under "npm run" the Node of node_modules is first on the PATH; npm itself stays with the one it was started with, and
# with its settings
npm() { if [ -n "${npm_execpath:-}" ]; then "$npm_node_execpath" "$npm_execpath" "$@"; else command npm "$@"; fi; }
work=$(mktemp -d)
server=''
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

cd "$repo"
tarball=$(npm pack --silent --pack-destination "$work" | tail -n 1)
client=$(npm pack --silent --workspace client --pack-destination "$work" | tail -n 1)
mkdir "$work/app" && cd "$work/app"
npm init -y >/dev/null
npm pkg set type=module
npm install --silent --no-audit --no-fund "$work/$tarball" "$work/$client"
export PATH="$repo/node_modules/node/bin:$PATH"
files=$(find node_modules/sluice -type f | wc -l)
echo "$tarball: $(du -h "$work/$tarball" | cut -f1), $files files, all installed $(du -sh node_modules | cut -f1)"

# Two, below the ports that the kernel gives to outgoing connections
read -r SLUICE_PORT SLUICE_ADMIN_PORT < <(node -e '
  const port = 12_000 + 2 * Math.floor(9_000 * Math.random())
  console.log(port, port + 1)')
export SLUICE_PORT SLUICE_ADMIN_PORT SLUICE_KEY=sk-sluice-a-key-for-this-test
export SLUICE_ADMIN_KEY=an-admin-key-for-this-test-0123456789
npx --no-install sluice version
# What the READMEs of both link is in the package, or somewhere else in the world
node - <<'END'
const { existsSync, readFileSync } = require('node:fs')
const { dirname, join } = require('node:path')
const gone = ['node_modules/sluice/README.md', 'node_modules/@sluice/client/README.md'].flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(/\]\(([^)#\s]+)/g)]
    .map(([, link]) => link)
    .filter((link) => !/^https?:/.test(link) && !existsSync(join(dirname(file), link)))
    .map((link) => `${file}: ${link}`),
)
if (gone.length > 0) throw new Error(`links that lead nowhere:\n${gone.join('\n')}`)
console.log('what its README links is there')
END
node_modules/.bin/sluice serve >"$work/out" 2>&1 &
server=$!
for _ in $(seq 300); do curl -sf "http://127.0.0.1:$SLUICE_PORT/readyz" >/dev/null && break; sleep 0.1; done

answer=$(curl -sN --max-time 20 "http://127.0.0.1:$SLUICE_PORT/v1/chat/completions" \
  -H "authorization: Bearer $SLUICE_KEY" -H 'content-type: application/json' \
  -d '{"model": "demo", "stream": true, "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}') || true
case "$answer" in
  *'data: [DONE]'*) echo "it streams: $(grep -c '^data:' <<<"$answer") events" ;;
  *) cat "$work/out"; echo "no whole answer: $answer"; exit 1 ;;
esac
cat >follow.mjs <<'END'
import { existsSync } from 'node:fs'
import { connect } from '@sluice/client'
const sluice = connect({ url: `http://127.0.0.1:${process.env.SLUICE_PORT}`, key: process.env.SLUICE_KEY })
const request = { model: 'demo', max_tokens: 8, messages: [{ role: 'user', content: 'Hello' }] }
const { text, usage } = await sluice.submit({ request }).answer()
console.log(`the client follows over ${sluice.transport}: ${usage.completion_tokens} tokens, "${text}"`)
sluice.close()
const { createChatTransport } = await import('@sluice/client/ai-sdk')
const { createChatConnection } = await import('@sluice/client/tanstack-ai')
const hooks = new URL(import.meta.resolve('@sluice/client/react'))
const made = [createChatTransport, createChatConnection].every((one) => typeof one === 'function')
if (!made || !existsSync(hooks)) throw new Error('an entry is missing')
END
node follow.mjs
cat >follow.ts <<'END'
import { connect, type JobEvent, SluiceError } from '@sluice/client'
const seen: JobEvent[] = []
for await (const event of connect({ url: '', key: '' }).submit({ request: { model: 'demo' } })) seen.push(event)
export const last: number | null = seen[0]?.type === 'end' ? seen[0].seen.ttftMs : null
export const refused = (error: unknown): boolean => error instanceof SluiceError && !error.retryable
END
check=("$repo/node_modules/.bin/tsc" --noEmit --strict --target es2024 --module nodenext)
# Of a platform: Node's, or the DOM's
"${check[@]}" --typeRoots "$repo/node_modules/@types" --types node --lib esnext follow.ts
cat >page.ts <<'END'
import { connect } from '@sluice/client'
import { loadMessages } from '@sluice/client/ai-sdk'
import { useSluiceConversation } from '@sluice/client/react'
import { createChatConnection } from '@sluice/client/tanstack-ai'
const sluice = connect({ url: '', ticket: async () => '' })
export const said: string[] = (await loadMessages(sluice, 'c1')).map(({ id }) => id)
export const Thread = (): number => useSluiceConversation(sluice, 'c1', { model: 'demo' }).turns.length
export const connection = createChatConnection(sluice, { request: { model: 'demo' } })
END
"${check[@]}" --types '' --lib esnext,dom page.ts
echo 'its types are whole'
npx --no-install sluice keys list
npx --no-install sluice jobs list
job=$(npx --no-install sluice jobs list --json | node -p 'JSON.parse(require("fs").readFileSync(0))[0].id')
followed=$(npx --no-install sluice jobs follow "$job" 2>&1)
case "$followed" in
  *'(done)') echo 'it follows a job' ;;
  *) echo "jobs follow printed: $followed"; exit 1 ;;
esac
npx --no-install sluice doctor --quiet

kill -TERM "$server"
status=0
wait "$server" || status=$?
[ "$status" = 0 ] || { cat "$work/out"; echo "it ended with $status"; exit 1; }
echo 'it stops when it is told to'
server=''

for old in /usr/bin/node /usr/local/bin/node; do
  [ -x "$old" ] && [ "$("$old" -p 'parseInt(process.versions.node)')" -lt 24 ] || continue
  if message=$("$old" node_modules/sluice/bin/sluice.js version 2>&1); then
    echo "Node $("$old" -v) was not refused"
    exit 1
  fi
  echo "$message"
  break
done
