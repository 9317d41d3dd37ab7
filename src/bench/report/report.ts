/** A run as one HTML file that needs nothing else: no network, no script. Its numbers are those of the console. */
import { consoleText, type Findings, loadText, remarksOf, verdictOf } from '../console.ts'
import { figure, milliseconds, percent, whole } from '../format.ts'
import type { BenchRun } from '../run.ts'
import { isMet, isOk, type Spread, spreadOf, tpot, ttft } from '../summary.ts'
import { cdf, makeup, roundDots, sweepCurve, timeline, waterfall } from './charts.ts'
import { STYLE } from './style.ts'
import { safe } from './svg.ts'

export function reportOf(findings: Findings): string {
  const { run, rounds, summary } = findings
  const { options } = run
  const isWell = run.validity.isValid && run.brokenOff === null
  const title = `${options.label}: ${options.model}, ${options.workload}`
  const sections = [
    cdf('Time to first token', findings, ttft),
    makeup(findings),
    roundDots(findings),
    sweepCurve(findings),
    timeline(findings),
    cdf('Time per output token', findings, tpot),
    waterfall(findings),
  ]
  const goals = options.slo.map((term) => {
    const met = isMet(term, rounds, summary)
    const word = met === null ? 'not known' : met ? 'met' : 'missed'
    return `<li>${mark(met === true)} goal ${safe(term.text)}: ${word}</li>`
  })
  const facts = [
    `errors ${percent(summary.errorShare)}`,
    ...(summary.goodput === null ? [] : [`goodput ${percent(summary.goodput)}`]),
    `${figure(summary.requestsPerSecond)} requests a second`,
    `${whole(summary.tokensPerSecond)} tokens a second`,
    `${figure(summary.msPerChar.p50)} ms a character`,
    `${figure(summary.tokensAChunk)} tokens a chunk`,
  ].map((fact) => `<li>${fact}</li>`)
  const day = new Date(run.startedAtMs).toISOString().slice(0, 16).replace('T', ' ')
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${safe(title)}</title><style>${STYLE}</style></head><body><main>
<header><p class="meta">Sluice benchmark · ${day} UTC</p>
<h1>${safe(title)}</h1>
<p class="verdict ${isWell ? 'well' : 'bad'}">${mark(isWell)} ${safe(sentence(run))}</p></header>
${section('found', 'What was found', `${table(findings)}<ul class="facts">${[...facts, ...goals].join('')}</ul>`)}
${section('counts', 'Does it count?', `<ul class="checks">${checks(run)}</ul>`)}
${section('pictures', 'Pictures', sections.join(''))}
${section('where', 'What was run, and where', environment(run))}
${section('text', 'As text', `<pre tabindex="0">${safe(consoleText(findings).join('\n'))}</pre>${SOURCE}`)}
</main></body></html>
`
}

const SOURCE =
  '<p class="meta">Every number is computed from <a href="records.jsonl">records.jsonl</a>; ' +
  'options and phases are in <a href="run.json">run.json</a>.</p>'

const section = (id: string, title: string, content: string): string =>
  `<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>${content}</section>`

const mark = (isWell: boolean): string =>
  isWell ? '<span class="well" aria-hidden="true">●</span>' : '<span class="bad" aria-hidden="true">■</span>'

function sentence(run: BenchRun): string {
  const verdict = verdictOf(run)
  return `${verdict[0].toUpperCase()}${verdict.slice(1)}.`
}

function table({ summary, idle }: Findings): string {
  const ok = idle.filter(isOk)
  const rows: Array<readonly [string, Spread, number | null]> = [
    ['Time to first token', summary.ttft, spreadOf(ok.map(ttft)).p50],
    ['… from when it was due', summary.ttftFromSchedule, null],
    ['… first visible output', summary.ttfo, null],
    ['Time per output token', summary.tpot, spreadOf(ok.map(tpot)).p50],
    ['End to end', summary.e2e, null],
    ['Longest gap', summary.stallMax, null],
  ]
  const cells = rows.map(([name, { p50, p95, p99, mean }, alone]) => {
    const numbers = [p50, p95, p99, mean, alone].map((ms) => `<td>${milliseconds(ms)}</td>`)
    return `<tr><th scope="row">${name}</th>${numbers.join('')}</tr>`
  })
  const names = ['p50', 'p95', 'p99', 'mean', 'alone, p50'].map((name) => `<th scope="col">${name}</th>`)
  const head = `<thead><tr><td></td>${names.join('')}</tr></thead>`
  const body = `<tbody>${cells.join('')}</tbody>`
  return `<div class="scroll" tabindex="0" role="region" aria-label="Figures"><table>${head}${body}</table></div>`
}

function checks(run: BenchRun): string {
  const of = run.validity.checks.filter(({ decides }) => decides)
  const decisive = of.map(({ isMet, text }) => `<li>${mark(isMet)} ${safe(text)}</li>`)
  const remarks = remarksOf(run).map(
    ({ text }) => `<li><span class="warn" aria-hidden="true">▲</span> ${safe(text)}</li>`,
  )
  return [...decisive, ...remarks].join('')
}

function environment({ options, fingerprint, client, phases, rounds, saturation, costUsd, id }: BenchRun): string {
  const { roundRequests, roundMs } = options
  const size = roundRequests === null ? milliseconds(roundMs) : `${roundRequests} requests`
  const rows: Array<readonly [string, string | null]> = [
    ['target', options.target],
    ['model', options.model],
    ['API', `${options.api}${options.stream ? ', streamed' : ''}`],
    ['workload', options.workload],
    ['load', loadText(options.load)],
    ['rounds', `${rounds.length} of ${size}`],
    ['seed', String(options.seed)],
    ['server', fingerprint.server],
    ['region', fingerprint.region],
    ['configuration', fingerprint.configHash],
    [
      'round trip',
      fingerprint.rtt === null
        ? null
        : `${milliseconds(fingerprint.rtt.p50Ms)} (TCP connect, p50 of ${fingerprint.rtt.connects})`,
    ],
    [
      'client',
      `Sluice ${fingerprint.sluice}, Node ${fingerprint.node}, ${fingerprint.platform}, ${fingerprint.cpus} CPUs`,
    ],
    [
      'client adds',
      client === null
        ? null
        : `${milliseconds(client.ttftP50Ms)} (p99 ${milliseconds(client.ttftP99Ms)}), by a thread that answers at once`,
    ],
    [
      'phases',
      phases
        .map(({ name, tookMs, note }) => `${name} ${milliseconds(tookMs)}${note === null ? '' : ` (${note})`}`)
        .join(', '),
    ],
    ['saturated', saturation === null ? null : `at ${figure(saturation.rate)} requests a second: ${saturation.why}`],
    ['cost', costUsd === null ? null : `$${costUsd.toFixed(4)}`],
    ['run', id],
  ]
  const cells = rows.flatMap(([name, value]) =>
    value === null || value === '' ? [] : [`<tr><th scope="row">${name}</th><td>${safe(value)}</td></tr>`],
  )
  return `<table class="where"><tbody>${cells.join('')}</tbody></table>`
}
