"""How the page looks: light and dark, on a phone and on a desk."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f7f8; --card: #ffffff; --ink: #1a2026; --soft: #5c6772; --line: #dfe3e7;
  --accent: #0b6e78; --accent-soft: #0b6e7826; --good: #19733f; --warn: #8f5a00; --bad: #b3261e;
  --filled: #de921c; --blank: #7a5cc7; --duplicate: #1f6fd0; --outlier: #d2433a;
  --pill: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161a; --card: #1a2026; --ink: #e4e9ed; --soft: #98a4af; --line: #2d363e;
    --accent: #54bcc6; --accent-soft: #54bcc62e; --good: #5cc98a; --warn: #e3b04b; --bad: #ff8a80;
    --filled: #e3a544; --blank: #a893ea; --duplicate: #6fa9f0; --outlier: #f2796f;
    --pill: #12161a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
}
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 72px; }
h1 { font-size: 28px; line-height: 1.2; margin: 8px 0 4px; font-weight: 650; letter-spacing: -.01em;
  overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 4px; font-weight: 620; }
h3 { font-size: 14px; margin: 20px 0 6px; font-weight: 620; }
p { margin: 0 0 8px; } p:last-child { margin-bottom: 0; }
a { color: var(--accent); }
code, pre { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
code { overflow-wrap: anywhere; }
pre { margin: 8px 0 0; padding: 12px 14px; overflow-x: auto; background: var(--page);
  border: 1px solid var(--line); border-radius: 8px; }
.soft { color: var(--soft); } .small { font-size: 13px; }
.pill { display: inline-block; padding: 2px 10px; border-radius: 99px; color: var(--pill);
  font-size: 12px; font-weight: 650; letter-spacing: .05em; }
.COMPLETE { background: var(--good); } .PARTIAL { background: var(--warn); }
.FAILED { background: var(--bad); }
.open { display: inline-block; margin: 14px 0 8px; padding: 9px 18px; border-radius: 8px;
  background: var(--accent); color: var(--pill); text-decoration: none; font-weight: 600; }
.facts { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px;
  margin: 24px 0; background: var(--line); border: 1px solid var(--line); border-radius: 12px;
  overflow: hidden; }
.facts div { background: var(--card); padding: 12px 16px; }
.facts dt { color: var(--soft); font-size: 12.5px; }
.facts dd { margin: 0; font-size: 18px; font-weight: 600; overflow-wrap: anywhere; }
.facts dd small { display: block; font-size: 12.5px; font-weight: 400; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 20px 24px 24px; margin: 0 0 20px; }
section > .soft { margin-bottom: 14px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr));
  gap: 0 20px; align-items: stretch; }
.planes { columns: 2 340px; column-gap: 20px; }
.planes figure { margin: 0 0 16px; break-inside: avoid; }
.planes img { display: block; width: 100%; height: auto; background: #000; border-radius: 6px; }
figcaption { font-size: 13px; color: var(--soft); margin-top: 6px; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); gap: 10px 8px;
  margin: 0; padding: 0; list-style: none; }
.sheet li { min-width: 0; text-align: center; }
.sheet img, .sheet .none { display: block; margin: 0 auto; max-width: 100%; height: auto;
  background: #000; border-radius: 4px; outline: 1px solid var(--line); }
.sheet span { display: block; font-size: 12px; line-height: 1.3; color: var(--soft);
  margin-top: 3px; }
.sheet .none { width: 96px;
  background: repeating-linear-gradient(135deg, var(--line) 0 5px, var(--page) 5px 10px); }
.sheet .odd img { outline: 3px solid var(--mark); }
.sheet .odd:not(.is-gone) span { color: var(--ink); font-weight: 600; }
.is-filled { --mark: var(--filled); } .is-blank { --mark: var(--blank); }
.is-duplicate { --mark: var(--duplicate); } .is-outlier { --mark: var(--outlier); }
.is-gone { --mark: var(--bad); }
.chart { position: relative; margin: 10px 0 0; padding-left: 52px; }
.chart svg { display: block; width: 100%; height: 190px; border-left: 1px solid var(--line);
  border-bottom: 1px solid var(--line); }
.chart .y { position: absolute; left: 0; width: 46px; text-align: right; font-size: 12px;
  color: var(--soft); line-height: 1; overflow: hidden; text-overflow: ellipsis; }
.chart .top { top: 0; } .chart .bottom { bottom: 26px; }
.chart .x { display: flex; justify-content: space-between; font-size: 12px; color: var(--soft);
  height: 22px; padding-top: 5px; }
svg .band { fill: var(--accent-soft); }
svg .mean { fill: var(--accent); stroke: var(--accent); stroke-width: 1.5;
  vector-effect: non-scaling-stroke; stroke-linejoin: round; }
svg .bars { fill: var(--accent); shape-rendering: crispEdges; }
svg .window { fill: var(--filled); opacity: .16; }
svg .edge { fill: var(--filled); }
svg .filled { fill: var(--filled); } svg .blank { fill: var(--blank); }
svg .duplicate { fill: var(--duplicate); } svg .outlier { fill: var(--outlier); }
svg .gone { fill: var(--bad); opacity: .35; }
svg :is(.filled, .blank, .duplicate, .outlier) { opacity: .8; }
svg .predicted { fill: none; stroke: var(--filled); stroke-width: 1.5; stroke-dasharray: 6 4;
  vector-effect: non-scaling-stroke; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 10px 0 0; padding: 0;
  list-style: none; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px;
  margin-right: 6px; background: var(--mark); }
.is-mean { --mark: var(--accent); } .is-band { --mark: var(--accent-soft); }
.is-predicted { --mark: var(--filled); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; font-size: 12.5px; }
td { overflow-wrap: anywhere; min-width: 76px; } td.n, td.w { min-width: 0; }
tr:last-child td { border-bottom: 0; }
th.n, td.n { text-align: right; white-space: nowrap; } td.w { white-space: nowrap; }
tfoot td { font-weight: 650; border-top: 2px solid var(--line); }
tbody th { color: var(--ink); font-size: 14px; white-space: nowrap; }
.kind { white-space: nowrap; } .kind i { display: inline-block; width: 10px; height: 10px;
  border-radius: 2px; margin-right: 8px; background: var(--mark); }
details { margin-top: 14px; } summary { cursor: pointer; color: var(--accent); }
ul.plain { margin: 0; padding-left: 18px; } ul.plain li { margin: 2px 0; overflow-wrap: anywhere; }
.failed { margin: 0; padding: 0; list-style: none; }
.failed li { padding: 8px 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
.failed b { margin-right: 10px; font-weight: 620; }
.trouble { border-color: var(--bad); border-left-width: 4px; }
.PART { border-color: var(--warn); border-left-width: 4px; }
footer { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
@media (max-width: 560px) {
  main { padding: 24px 14px 48px; } section { padding: 16px 14px 18px; border-radius: 10px; }
  h1 { font-size: 23px; } .facts { grid-template-columns: 1fr 1fr; }
  .facts div { padding: 10px 12px; } .facts dd { font-size: 16px; }
  .sheet { grid-template-columns: repeat(auto-fill, minmax(72px, 1fr)); }
  th, td { padding-right: 10px; }
}
@media print { section { break-inside: avoid; } }
"""
