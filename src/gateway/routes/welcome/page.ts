/** What a browser sees at `/`: what this is, a first request, and where to go next. Static, without a script. */
import { hash } from 'node:crypto'
import { STYLE } from './style.ts'

const LOGO =
  '<svg width="26" height="20" viewBox="0 0 26 20" fill="none" stroke-width="2" stroke-linecap="round" ' +
  'aria-hidden="true">' +
  '<g stroke="#a67a00"><path d="M2 4h6"/><path d="M4 10h4"/><path d="M2 16h6"/></g>' +
  '<path d="M13 1v18" stroke="currentColor"/><path d="M18 10h6" stroke="#1f9c82"/></svg>'
const ICON = `data:image/svg+xml,${encodeURIComponent(
  LOGO.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ').replace('currentColor', '#5f7172'),
)}`

const CUT_AT = 21
const BACK_AT = 33
const TOKENS = 46

/** A row of tokens: the reader is away for some of them, and gets them all. */
function picture(): string {
  const x = (i: number): number => 292 + i * 14
  const jobs = [40, 118, 180].map(
    (at, i) => `<rect class="wait" x="${at}" y="24" width="${[70, 54, 66][i]}" height="20" rx="4"/>`,
  )
  const tokens = Array.from({ length: TOKENS }, (_, i) => {
    const kept = i >= CUT_AT && i < BACK_AT
    const size = kept ? 'y="24.5" width="10" height="19"' : 'y="24" width="10" height="20"'
    return `<rect class="${kept ? 'kept' : 'made'}" x="${x(i)}" ${size} rx="2"/>`
  })
  return (
    '<svg viewBox="40 0 898 112" role="img" aria-label="Jobs wait in line, pass the gate, and their tokens are ' +
    'stored; a reader that is cut off resumes at the next token.">' +
    `<text x="40" y="14">waiting in line</text>${jobs.join('')}` +
    '<rect class="gate" x="264" y="8" width="2.5" height="52"/>' +
    '<rect class="gate" x="270" y="8" width="2.5" height="52"/>' +
    `<text x="${x(0)}" y="14">tokens, stored and then sent</text>${tokens.join('')}` +
    `<text x="40" y="86">your reader</text>` +
    `<path class="read" d="M${x(0)} 82H${x(CUT_AT) - 6}"/>` +
    `<path class="cut" d="M${x(CUT_AT) + 4} 82H${x(BACK_AT) - 10}"/>` +
    `<path class="read" d="M${x(BACK_AT)} 82H${x(TOKENS) - 4}"/>` +
    `<text class="warn" x="${x(CUT_AT)}" y="106">✂ cut</text>` +
    `<text class="strong" x="${x(BACK_AT)}" y="106">back, nothing lost</text></svg>`
  )
}

/** `origin`: how this server was reached; already safe to show. `model`: one to ask. */
export function welcomePage(origin: string, model: string): string {
  const key = '<em>$SLUICE_API_KEY</em>'
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Sluice is up</title>
<link rel="icon" href="${ICON}">
<style>${STYLE}</style>
</head>
<body>
<header>${LOGO}Sluice<span><i></i>the API is up</span></header>
<main>
<section class="hero">
<div>
<h1>Sluice is up. Send the first request.</h1>
<p>This is a delivery layer for language models. Every request becomes a durable job and its tokens a log, so a
connection that breaks loses nothing: the job continues, and the reader resumes at the next token.</p>
</div>
<div>
<pre tabindex="0">curl -N ${origin}/v1/chat/completions \\
  -H "authorization: Bearer ${key}" \\
  -H 'content-type: application/json' \\
  -d '{"model": "${model}", "stream": true, "messages":
      [{"role": "user", "content": "Tell me about rivers."}]}'</pre>
<p>The first start created your key. To create another: <code>npx sluice keys create</code></p>
</div>
</section>
<figure>
<figcaption><strong>How an answer travels</strong> It is stored before it is sent, so it can be sent again.</figcaption>
${picture()}
</figure>
<section class="cols">
<div>
<h2>Your SDK works unchanged</h2>
<p>Change the base URL and the key, nothing else.</p>
<pre tabindex="0">client = OpenAI(
  base_url="${origin}/v1",
  api_key=os.environ["<em>SLUICE_API_KEY</em>"])</pre>
</div>
<div>
<h2>Resume after a cut</h2>
<p>Each response has a <code>location</code>, each event an <code>id</code>.</p>
<pre tabindex="0">curl -N "${origin}<em>$LOCATION</em>" \\
  -H "authorization: Bearer ${key}" \\
  -H "last-event-id: <em>$ID</em>"</pre>
</div>
</section>
<ul>
<li><b>See it survive</b> <code>npm run demo</code> starts a chat with a button that kills its server</li>
<li><b>Documentation</b> README.md, PROTOCOL.md and docs/ in the repository</li>
<li><b>Keys, jobs and statistics</b> <code>npx sluice --help</code>, or the admin listener</li>
<li><b>Health</b> <a href="/livez">/livez</a>, <a href="/readyz">/readyz</a></li>
</ul>
</main>
<footer>This page is for people; programs get JSON here. It exposes no stored data.</footer>
</body>
</html>
`
}

/** Nothing is loaded from anywhere, and no script runs. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    `default-src 'none'; style-src 'sha256-${hash('sha256', STYLE, 'base64')}'; img-src data:; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}
