"""What the report's page adds to the look that all pages share."""

from pipeline.page.style import PAGE_CSS

CSS = (
    PAGE_CSS
    + """
.up { color:var(--good); } .down { color:var(--bad); } .flat { color:var(--soft); }
tbody th { overflow-wrap:break-word; } /* the template says where a name may break */
tr.other td { color:var(--soft); }
td.last { font-weight:650; }
.curves { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(260px,100%),1fr)); gap:14px; }
.curves figure { margin:0; }
svg.spans { max-width:760px; } svg.spans text { font-size:12px; }
polyline { fill:none; stroke-linejoin:round; }
polyline.raw { stroke:var(--accent); opacity:.25; stroke-width:1; }
polyline.smooth { stroke:var(--accent); stroke-width:2; }
rect.lane { fill:var(--lane); } rect.true { fill:var(--true); } rect.made { fill:var(--made); opacity:.85; }
.q { font-weight:550; margin:8px 0; }
.strip figure { margin:0; } .strip img { height:auto; background:var(--lane); }
.strip figcaption { font-size:.78rem; }
.line { display:inline-block; width:22px; height:4px; margin:0 4px 0 10px; vertical-align:3px;
  background:var(--c); outline:1px solid var(--soft); }
.line.dashed { background:repeating-linear-gradient(90deg,var(--c) 0 5px,transparent 5px 9px); }
.filter { display:flex; flex-wrap:wrap; gap:8px 16px; align-items:center; padding:12px 18px; font-size:.9rem;
  margin-bottom:8px; }
.filter[hidden], [hidden] { display:none; }
.filter label { color:var(--soft); max-width:100%; }
.filter select, .filter button { font:inherit; color:var(--ink); background:var(--bg); max-width:100%;
  border:1px solid var(--line); border-radius:6px; padding:3px 8px; }
.filter output { color:var(--soft); }
.failed { color:var(--failed); } :root { --failed:#a05a00; }
@media (prefers-color-scheme: dark) { :root { --failed:#ffb454; } }
.answers { display:grid; grid-template-columns:minmax(0,1fr); gap:10px; margin-top:12px; }
.answer { border-top:1px solid var(--line); padding-top:10px;
  display:grid; grid-template-columns:130px minmax(0,1fr); gap:4px 14px; }
.answer .who { color:var(--soft); font-size:.88rem; }
.verdict { font-weight:650; font-size:.88rem; margin-left:8px; }
@media (max-width:640px) { .answer { grid-template-columns:minmax(0,1fr); }
  .card { padding:12px; } main { padding:20px 12px 48px; } th, td { padding:5px 7px; } }
"""
)
