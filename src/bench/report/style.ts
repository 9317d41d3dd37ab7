/** The report's style: the dashboard's colours, dark and light. */
export const STYLE = `
:root{color-scheme:dark light;--ground:#0A0F11;--raised:#172125;--line:#25333A;--text:#E8EFEF;--muted:#A3B5B9;
  --faint:#7F939A;
--water:#4FD3B9;--sand:#F0CF7E;--blue:#5494FA;--plum:#B875C1;--slate:#737A86;--warn:#FD934E;--bad:#F94A50}
@media(prefers-color-scheme:light){:root{--ground:#F4F6F4;--raised:#EDF1EF;--line:#D8DFDC;--text:#0F1D1E;
  --muted:#445658;--faint:#5F7172;
--water:#006E57;--sand:#A67A00;--blue:#1764ED;--plum:#CB4EA2;--slate:#4B5058;--warn:#9E4914;--bad:#8A0A20}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:14px/22px Inter,system-ui,sans-serif}
main{max-width:800px;margin:0 auto;padding:28px 16px 64px}
h1{font-size:22px;line-height:30px;margin:0}
h2{font-size:17px;margin:36px 0 8px}
h3{font-size:14px;margin:0}
a{color:var(--water)}
.meta,figcaption p,.tick,.axis{color:var(--muted)}
.meta{font-size:12px;margin:0}
.verdict{font-size:17px;line-height:26px;margin:12px 0 0}
.well{color:var(--water)}
.bad{color:var(--bad)}
.warn{color:var(--warn)}
.verdict.well,.verdict.bad{color:var(--text)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);text-align:right;font-weight:400}
th[scope=row]{text-align:left}
th[scope=col]{color:var(--muted)}
.where td{text-align:left;overflow-wrap:anywhere}
.where th{color:var(--muted);width:9em;vertical-align:top}
.scroll{overflow-x:auto}
ul{list-style:none;padding:0;margin:12px 0}
.facts{display:flex;flex-wrap:wrap;gap:4px 24px}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;font-size:12px}
figure{margin:28px 0 0}
figcaption p{margin:2px 0 8px;font-size:12px;line-height:18px}
svg{width:100%;height:auto;display:block}
pre{overflow-x:auto;background:var(--raised);padding:12px;border-radius:6px;font:12px/18px ui-monospace,monospace}
.tick,.axis{font-size:11.5px;fill:var(--muted)}
.grid,.rule{stroke:var(--line)}
.rule{stroke-dasharray:2 4}
polyline{fill:none;stroke-width:2}
.value{stroke:var(--water)}
.floor{stroke:var(--faint);stroke-dasharray:5 4}
.lag{stroke:var(--warn);stroke-width:1}
.pair{stroke:var(--faint)}
.dot{fill:var(--water)}
.ring{fill:var(--ground);stroke:var(--water);stroke-width:2}
.speck{fill:var(--water);fill-opacity:.55}
.part-queue{fill:var(--sand);background:var(--sand)}
.part-connect{fill:var(--plum);background:var(--plum)}
.part-gateway{fill:var(--slate);background:var(--slate)}
.part-prefill{fill:var(--blue);background:var(--blue)}
.part-network{fill:var(--faint);background:var(--faint)}
.key{display:inline-block;width:10px;height:10px;margin-right:6px;border-radius:2px}
.wait{fill:var(--blue)}
.made{fill:var(--water)}
.failed{fill:var(--bad)}
@media(max-width:600px){.tick,.axis{font-size:15px}}
@media print{:root{color-scheme:light}
figure{break-inside:avoid}}
`
