"""What the report's page adds to the look that all pages share."""

from pipeline.page.style import PAGE_CSS

CSS = (
    PAGE_CSS
    + """
:root { --failed:#a05a00; --fill:#6f93d8; --error:#1c2330; --mark:#b3005e; }
@media (prefers-color-scheme: dark) { :root { --failed:#ffb454; --fill:#4d6fb3; --error:#e6eaf0;
  --mark:#ff7fb2; } }
h4 { font-size:.92rem; margin:0 0 6px; }
.up { color:var(--good); } .down { color:var(--bad); } .flat { color:var(--soft); } .failed {
  color:var(--failed); }
tbody th { overflow-wrap:break-word; } /* the template says where a name may break */
.tile .value small { font-size:.95rem; font-weight:400; color:var(--soft); }
td.last { font-weight:650; }
.scroll:focus-visible, pre:focus-visible { outline:2px solid var(--accent); outline-offset:2px; }
details > summary { padding:4px 0; font-weight:600; }

.compared { font-size:.88rem; }
.compared th, .compared td { padding:6px 8px; } .compared thead th { white-space:normal; }
.compared .trend { white-space:nowrap; } .counts { font-weight:400;
  font-size:.84rem; color:var(--soft); }
.forest { position:relative; display:block; min-width:110px; height:20px; }
.forest .zero { position:absolute; left:50%; top:0; bottom:0; border-left:1px dashed var(--soft); }
.error { position:absolute; top:50%; height:9px; margin-top:-5px; border:solid var(--error);
  border-width:0 1px;
  background:linear-gradient(var(--error),var(--error)) center/100% 1.5px no-repeat; }
.dot { position:absolute; top:50%; width:8px; height:8px; margin:-4px; border-radius:50%;
  background:var(--accent); }

.chart { margin-top:10px; } .chart .bars + .bars { margin-top:12px; }
.chart { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(440px,100%),1fr));
  gap:10px 32px; }
.chart > h4, .chart > .curves { grid-column:1/-1; } .chart .bars + .bars { margin-top:0; }
.baseline { font-weight:400; color:var(--soft); font-size:.84rem; margin-left:8px; }
.bar { display:grid; grid-template-columns:8.2em minmax(0,1fr) 6.4em; gap:8px; align-items:center;
  font-size:.84rem; margin:3px 0; }
.bar .who { color:var(--soft); } .bar .value { text-align:right; font-variant-numeric:tabular-nums; }
.lane { position:relative; display:flex; height:14px; background:var(--lane); border-radius:3px; }
.fill { background:var(--fill); border-radius:3px; }
.lane .mark { position:absolute; top:-3px; bottom:-3px; width:0; border-left:2px dotted var(--mark);
  margin-left:-1px; }
.legend .mark { display:inline-block; height:14px; border-left:2px dotted var(--mark);
  vertical-align:-2px; }
.outcome { grid-template-columns:8.2em minmax(0,1fr); grid-column:1/-1; } .outcome .value { grid-column:2;
  text-align:left; }
.entry { white-space:nowrap; margin-right:14px; }
.lane .part { background:currentColor; border-right:2px solid var(--card); } .lane .part:last-child {
  border:0; }
.part.right { color:var(--good); } .part.wrong { color:var(--bad); } .part.unscored { color:var(--soft); }
.part.failed { color:var(--failed); } .lane .part.wrong { opacity:.75; }
.lane .part.failed { background:repeating-linear-gradient(45deg,var(--failed) 0 4px,transparent 4px 8px);
  }
svg.bins { max-width:420px; } .bin { fill:var(--fill); }
.bin.failed { fill:none; stroke:var(--failed); stroke-width:1.5; stroke-dasharray:4 3; }

.curves { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(260px,100%),1fr)); gap:14px; }
.curves figure { margin:0; }
polyline { fill:none; stroke-linejoin:round; }
polyline.raw { stroke:var(--accent); opacity:.25; stroke-width:1; }
polyline.smooth { stroke:var(--accent); stroke-width:2; }

svg.spans { max-width:760px; margin:12px 0; overflow:visible; } svg.spans text { font-size:12.5px; }
svg.spans .who { fill:var(--ink); font-weight:600; }
rect.lane { fill:var(--lane); } rect.true { fill:var(--true); }
rect.made { fill:var(--made); fill-opacity:.35; stroke:var(--made); stroke-width:1.5;
  stroke-dasharray:5 3; }

.q { font-weight:550; margin:8px 0; }
.strip { grid-template-columns:repeat(auto-fill,minmax(min(165px,47%),1fr)); max-width:none; }
.answer .strip { grid-template-columns:repeat(auto-fill,minmax(min(210px,47%),1fr)); }
.strip figure { margin:0; } .strip figcaption { font-size:.78rem; }
.shot { position:relative; } .shot img { height:auto; background:var(--lane); }
.shot svg { position:absolute; inset:0; width:100%; height:100%; border-radius:6px; }
.shot path, .sign path { fill:none; stroke-width:2.5; stroke-linejoin:round;
  vector-effect:non-scaling-stroke; }
path.halo { stroke-width:5; opacity:.75; } path.predicted { stroke-dasharray:8 6; }
path.region { stroke-dasharray:1 5; stroke-linecap:round; stroke-width:3.5; }
path.halo.region { stroke-width:6; }
.sign path { stroke-width:4; } .sign path.halo { stroke-width:7; }
.entry .swatch { box-shadow:0 0 0 1px var(--soft); }
.hide-true .shot path.true, .hide-predicted .shot path.predicted { display:none; }
.sign { display:inline-block; width:28px; height:8px; margin-right:6px; vertical-align:1px;
  overflow:visible; }

.filter { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(150px,46%),1fr)); gap:8px 14px;
  align-items:end; padding:12px 18px; font-size:.9rem; margin-bottom:8px; }
.filter > label, .range { display:grid; gap:2px; color:var(--soft); min-width:0; }
.filter > label.tick, .range > div { display:flex; gap:6px; align-items:center; }
.filter select, .filter input, .filter button, #more { font:inherit; color:var(--ink); background:var(--bg);
  border:1px solid var(--line); border-radius:6px; padding:3px 8px; }
.filter select, .filter input[type=search], .filter input[type=number] { width:100%; min-width:0; }
.filter select, .filter button, .filter input:not([type=checkbox]) { height:2.1em; }
.filter label.tick { height:2.1em; }
.filter output { color:var(--soft); }

#more { display:block; margin:24px auto; padding:8px 18px; } [hidden], #more[hidden] { display:none; }
@media (min-width:900px) and (min-height:700px) { .filter { position:sticky; top:0; z-index:1;
  box-shadow:0 4px 12px rgb(0 0 0 / 12%); } }
#samples, #list > * { scroll-margin-top:8px; } #list { min-height:60vh; }

.answers { display:grid; grid-template-columns:minmax(0,1fr); gap:10px; margin-top:12px; }
.answer { border-top:1px solid var(--line); padding-top:10px;
  display:grid; grid-template-columns:130px minmax(0,1fr); gap:4px 14px; }
.answer .who { color:var(--soft); font-size:.88rem; }
.verdict { font-weight:650; font-size:.88rem; margin-left:8px; }
@media (max-width:640px) {
  .tiles { grid-template-columns:repeat(auto-fill,minmax(150px,1fr)); }
  .answer { grid-template-columns:minmax(0,1fr); }
  .card { padding:12px; } main { padding:20px 12px 48px; } th, td { padding:5px 7px; }
  .bar { grid-template-columns:minmax(0,1fr) auto; gap:0 8px; margin:6px 0; } .bar .lane {
  grid-column:1/-1; grid-row:2; }
  .outcome .value { grid-column:1/-1; grid-row:3; } }
"""
)
