"""The style sheet of the HTML report, and the policy that lets a browser use it and nothing else.

Strategy: one sheet, named in the policy by its hash, so no other style can be slipped in; there is
no script, picture, font, form or address to go to. System fonts and variables for the colours:
light, dark as the reader's system asks, and paper. Severity is told by a word as well as a colour.
"""

from __future__ import annotations

import base64
import hashlib

SHEET = """
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --ink: #16202b; --soft: #586472; --edge: #dde2e8;
  --code: #f3f5f8; --client: #0b57a4;
  --critical: #8c1d40; --high: #c62f2f; --medium: #b85c00; --low: #7a6a00; --info: #586472;
  --good: #14713d; --bad: #b3261e; --doubt: #8a5300; --on: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #10151b; --card: #19212a; --ink: #e7ecf1; --soft: #a0acb9; --edge: #2e3a46;
    --code: #121920; --client: #86b9f2;
    --critical: #f28fb3; --high: #ff8d85; --medium: #f5ac5b; --low: #dccb5c; --info: #a0acb9;
    --good: #6fd195; --bad: #ff8d85; --doubt: #f5ac5b; --on: #10151b;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans",
    sans-serif;
}
header, main, footer { max-width: 66rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; }
.brand { display: flex; align-items: center; gap: .6rem; margin: 0; color: var(--soft); }
.brand svg { width: 1.6rem; height: 1.6rem; fill: none; stroke: currentColor; stroke-width: 2; }
h1 { font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; margin: .7rem 0 .5rem;
  letter-spacing: -.015em; text-wrap: balance; }
h1.bad { color: var(--bad); } h1.good { color: var(--good); } h1.doubt { color: var(--doubt); }
h2 { font-size: 1.35rem; margin: 2.75rem 0 .75rem; letter-spacing: -.01em; }
h3 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
.soft, .note, footer { color: var(--soft); }
.note { font-size: .92rem; }
nav { margin-top: 1rem; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .92rem; }
a { color: var(--client); text-underline-offset: .2em; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .8rem;
  margin: 1.5rem 0 0; padding: 0; list-style: none; }
.figures li, article, figure, .sheet { background: var(--card); border: 1px solid var(--edge);
  border-radius: .7rem; }
.figures li { padding: .85rem 1rem; display: flex; flex-direction: column; }
.figures .name { font-size: .88rem; color: var(--soft); }
.figures b { font-size: 2.1rem; line-height: 1.2; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.figures .what { font-size: .85rem; color: var(--soft); }
b.bad { color: var(--bad); } b.good { color: var(--good); } b.doubt { color: var(--doubt); }
figure { margin: 0; padding: 1.1rem 1.1rem .8rem; }
figcaption { margin-bottom: .6rem; }
.chart { display: grid; grid-template-columns: auto 1fr; gap: .3rem .6rem; font-size: .82rem;
  color: var(--soft); font-variant-numeric: tabular-nums; }
.chart svg { width: 100%; height: 12rem; display: block; overflow: visible; }
.up { display: flex; flex-direction: column; justify-content: space-between; text-align: right;
  margin: -.6em 0; }
.along { grid-column: 2; display: flex; justify-content: space-between; }
.grid { stroke: var(--edge); stroke-width: 1; vector-effect: non-scaling-stroke; }
.chart path { fill-opacity: .88; }
path.critical { fill: var(--critical); } path.high { fill: var(--high); }
path.medium { fill: var(--medium); } path.low { fill: var(--low); } path.info { fill: var(--info); }
.key { margin-right: 1.1rem; font-size: .88rem; }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; border-radius: .2em;
  margin-right: .4em; background: currentColor; vertical-align: -.05em; }
.key.critical { color: var(--critical); } .key.high { color: var(--high); }
.key.medium { color: var(--medium); } .key.low { color: var(--low); }
.key.info { color: var(--info); }
article { padding: 1rem 1.15rem 1.1rem; margin: 0 0 .9rem; border-left: .3rem solid var(--info); }
article.critical { border-left-color: var(--critical); }
article.high { border-left-color: var(--high); }
article.medium { border-left-color: var(--medium); } article.low { border-left-color: var(--low); }
article.fixed { border-left-color: var(--good); }
.top { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .7rem; }
.tag { border-radius: 1rem; padding: .05rem .65rem; font-size: .8rem; font-weight: 600;
  color: var(--on); background: var(--info); white-space: nowrap; }
.tag.critical { background: var(--critical); } .tag.high { background: var(--high); }
.tag.medium { background: var(--medium); } .tag.low { background: var(--low); }
.tag.fixed { background: var(--good); }
.where { font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: 8.5rem 1fr; gap: .15rem .8rem; margin: .7rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr));
  gap: .9rem; }
.pair > div { min-width: 0; }
.said { margin: .7rem 0 .25rem; font-size: .88rem; color: var(--soft); }
pre { margin: 0; padding: .65rem .8rem; background: var(--code); border-radius: .45rem;
  border: 1px solid var(--edge); white-space: pre-wrap; overflow-wrap: anywhere; }
pre, samp, kbd, code { font: .84rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas,
  "DejaVu Sans Mono", monospace; }
kbd { color: var(--client); }
code { overflow-wrap: anywhere; }
.sheet { padding: .2rem 1.15rem .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 600; color: var(--soft); }
th, td { padding: .5rem .9rem .5rem 0; border-bottom: 1px solid var(--edge); vertical-align: top;
  overflow-wrap: anywhere; }
th { overflow-wrap: normal; } td:first-child { min-width: 8.5rem; }
tr:last-child td { border-bottom: 0; }
td.number { font-variant-numeric: tabular-nums; }
footer { margin-top: 3rem; padding-bottom: 3rem; font-size: .88rem; }
@media (max-width: 40rem) {
  header, main, footer { padding-left: .9rem; padding-right: .9rem; }
  header { padding-top: 1.25rem; }
  .figures { grid-template-columns: 1fr 1fr; }
  .figures li:first-child { grid-column: 1 / -1; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .45rem; }
  thead { position: absolute; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; }
  tr { padding: .55rem 0; border-bottom: 1px solid var(--edge); }
  tr:last-child { border-bottom: 0; }
  td { border: 0; padding: .1rem 0; display: grid; grid-template-columns: 7rem 1fr; gap: .6rem; }
  td::before { content: attr(data-label); color: var(--soft); }
}
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #000; --soft: #444; --edge: #bbb;
    --code: #fff; --client: #0b57a4; --critical: #8c1d40; --high: #c62f2f; --medium: #b85c00;
    --low: #7a6a00; --info: #555; --good: #14713d; --bad: #b3261e; --doubt: #8a5300; --on: #fff; }
  @page { margin: 16mm 14mm; }
  body { font-size: 10.5pt; }
  header, main, footer { max-width: none; padding: 0; }
  nav { display: none; }
  article, figure, .figures li, tr { break-inside: avoid; }
  h2, h3, .said { break-after: avoid; }
  .figures { grid-template-columns: repeat(5, 1fr); }
  .tag, path, .key::before { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

_HASH = base64.b64encode(hashlib.sha256(SHEET.encode("utf-8")).digest()).decode("ascii")
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
"""Content Security Policy (CSP Level 3) as a `meta` element gives it."""
