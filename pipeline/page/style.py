"""The style sheet that every page begins with. Light and dark follow the reader's system."""

PAGE_CSS = """
:root { color-scheme: light dark; --bg:#f7f8fa; --card:#fff; --ink:#1c2330; --soft:#5d6878; --line:#e1e5eb;
  --accent:#2f6fed; --good:#128a4b; --bad:#c2362f; --true:#22a861; --made:#ff4081;
  --lane:#edf0f4; --chip:#eef3fe; }
@media (prefers-color-scheme: dark) { :root { --bg:#12161d; --card:#1a202a; --ink:#e6eaf0; --soft:#9aa6b6;
  --line:#2c3542; --accent:#7aa5ff; --good:#4cd08a; --bad:#ff7b72; --true:#2ecc71; --made:#ff5c93;
  --lane:#252d39; --chip:#22304c; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--bg); color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif; }
main { max-width:1120px; margin:0 auto; padding:32px 20px 64px; }
h1 { font-size:1.9rem; line-height:1.2; margin:0 0 4px; letter-spacing:-.02em; }
h2 { font-size:1.3rem; margin:48px 0 12px; letter-spacing:-.01em; }
h3 { font-size:1.02rem; margin:24px 0 8px; }
p.lead { color:var(--soft); margin:0 0 24px; max-width:75ch; }
nav { display:flex; flex-wrap:wrap; gap:6px 18px; font-size:.92rem; margin:0 0 24px; }
a { color:var(--accent); }
.card { background:var(--card); border:1px solid var(--line); border-radius:12px; padding:18px; }
.tiles { display:grid; grid-template-columns:repeat(auto-fill,minmax(200px,1fr)); gap:12px; }
.tile .what { color:var(--soft); font-size:.86rem; overflow-wrap:anywhere; }
.tile .value { font-size:1.8rem; font-weight:650; letter-spacing:-.02em; font-variant-numeric:tabular-nums; }
.tile .from { font-size:.86rem; color:var(--soft); font-variant-numeric:tabular-nums; }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; font-size:.93rem; font-variant-numeric:tabular-nums; }
th, td { padding:6px 10px; text-align:left; vertical-align:top; border-bottom:1px solid var(--line); }
thead th { color:var(--soft); font-weight:600; font-size:.84rem; white-space:nowrap; }
tbody tr:last-child td, tbody tr:last-child th { border-bottom:0; }
tbody.group { border-top:2px solid var(--line); }
td.n, th.n { text-align:right; white-space:nowrap; }
tbody th { font-weight:600; overflow-wrap:anywhere; }
ul.notes { color:var(--soft); font-size:.87rem; padding-left:1.1em; max-width:95ch; }
details { margin-top:12px; } summary { cursor:pointer; color:var(--accent); }
figcaption { font-size:.84rem; color:var(--soft); }
svg { width:100%; height:auto; display:block; } svg text { fill:var(--soft); font-size:11px; }
.axis { stroke:var(--soft); stroke-width:1; } .grid { stroke:var(--line); stroke-width:1; }
.example { margin-bottom:16px; }
.example > header { display:flex; flex-wrap:wrap; gap:4px 10px; align-items:baseline; }
.key { font:12.5px ui-monospace,SFMono-Regular,Menlo,monospace; color:var(--soft); overflow-wrap:anywhere; }
.chip { background:var(--chip); border-radius:99px; padding:1px 10px; font-size:.82rem; }
.text { white-space:pre-wrap; overflow-wrap:anywhere; }
.failure { color:var(--bad); font-size:.86rem; }
.strip { display:grid; grid-template-columns:repeat(auto-fill,minmax(130px,1fr)); gap:8px;
  margin-top:8px; max-width:900px; }
.strip img { width:100%; border-radius:6px; display:block; }
.legend { font-size:.88rem; color:var(--soft); } .swatch { display:inline-block; width:12px; height:12px;
  border-radius:3px; vertical-align:-1px; margin:0 4px 0 10px; }
dl { display:grid; grid-template-columns:max-content 1fr; gap:4px 18px; margin:0; } dt { color:var(--soft); }
dd { margin:0; font:13px ui-monospace,SFMono-Regular,Menlo,monospace; overflow-wrap:anywhere; }
pre { overflow-x:auto; font-size:12.5px; background:var(--lane); padding:14px; border-radius:8px; }
@media (max-width:640px) { dl { grid-template-columns:1fr; } }
@media print { body { background:#fff; } .card { break-inside:avoid; } }
"""
