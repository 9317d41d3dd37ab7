/** How the welcome page looks: colours and spaces of the dashboard, light and dark. */
export const STYLE = `
:root{color-scheme:light dark;--ground:#f4f6f4;--raised:#edf1ef;--line:#d8dfdc;--text:#0f1d1e;--muted:#445658;
--faint:#5f7172;--water:#006e57;--pale:#86cdbb;--sand:#a67a00;--warn:#9e4914;--surface:#fff}
@media (prefers-color-scheme:dark){:root{--ground:#0a0f11;--raised:#172125;--line:#25333a;--text:#e8efef;
--muted:#a3b5b9;--faint:#7f939a;--water:#4fd3b9;--pale:#1b6f60;--sand:#f0cf7e;--warn:#fd934e;--surface:#10171a}}
*{box-sizing:border-box;margin:0}
body{background:var(--ground);color:var(--muted);font:15px/24px Inter,system-ui,-apple-system,"Segoe UI",sans-serif}
main,header,footer{max-width:1080px;margin:0 auto;padding:0 32px}
header{display:flex;align-items:center;gap:10px;padding-top:26px;color:var(--text);font-weight:650;font-size:17px}
header span{margin-left:auto;display:flex;align-items:center;gap:8px;color:var(--muted);font-size:13px;font-weight:400}
header i{width:8px;height:8px;border-radius:50%;background:var(--water)}
h1{color:var(--text);font-size:36px;line-height:42px;font-weight:650;letter-spacing:-.02em;text-wrap:balance}
h2{color:var(--text);font-size:14px;line-height:20px;font-weight:620;margin-bottom:6px}
p+p,p+pre,pre+p{margin-top:12px}
b,strong{color:var(--text);font-weight:600}
a{color:var(--water);text-underline-offset:3px}
a:focus-visible,pre:focus-visible{outline:2px solid var(--water);outline-offset:2px}
code,pre{font:12.5px/20px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{color:var(--text)}
pre{background:var(--raised);color:var(--text);border-radius:8px;padding:14px 16px;overflow-x:auto;tab-size:2}
pre em{font-style:normal;font-weight:600;color:var(--water)}
.hero{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,6fr);gap:44px;align-items:center;padding:56px 0 44px}
.hero p{font-size:17px;line-height:27px;margin-top:16px;max-width:46ch}
.hero pre+p{font-size:14px;line-height:22px;margin-top:12px;max-width:none}
figure{border-top:1px solid var(--line);padding:22px 0 26px}
figure svg{display:block;width:100%;height:auto}
figcaption{display:flex;flex-wrap:wrap;gap:4px 12px;margin-bottom:14px;font-size:14px}
.cols{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 44px;border-top:1px solid var(--line);
padding:22px 0 28px}
.cols p{font-size:14px;line-height:22px}
.cols pre{margin-top:10px}
ul{list-style:none;padding:20px 0 0;border-top:1px solid var(--line);font-size:14px;line-height:22px;
display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:16px 32px}
li b{display:block}
footer{padding-top:30px;padding-bottom:40px;color:var(--faint);font-size:13px}
.wait{fill:none;stroke:var(--sand);stroke-dasharray:3 3}
.gate{fill:var(--text)}
.made{fill:var(--water)}
.kept{fill:var(--pale);stroke:var(--water)}
.cut{stroke:var(--warn);stroke-dasharray:3 4}
.read{stroke:var(--text);stroke-width:3;stroke-linecap:round}
svg text{font:12px Inter,system-ui,sans-serif;fill:var(--faint)}
svg .strong{fill:var(--text);font-weight:600}
svg .warn{fill:var(--warn)}
@media (max-width:860px){main,header,footer{padding-left:16px;padding-right:16px}
.hero,.cols{grid-template-columns:minmax(0,1fr);gap:26px}.hero{padding:34px 0 30px}
ul{grid-template-columns:minmax(0,1fr)}
h1{font-size:29px;line-height:35px}figure{overflow-x:auto}figure svg{min-width:640px}}
`
