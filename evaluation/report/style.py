"""What the report's page adds to the look that all pages share."""

from pipeline.page.style import PAGE_CSS

CSS = (
    PAGE_CSS
    + """
.up { color:var(--good); } .down { color:var(--bad); } .flat { color:var(--soft); }
tbody th { overflow-wrap:break-word; } /* the template says where a name may break */
tr.other td { color:var(--soft); }
td.last { font-weight:650; }
.curves { display:grid; grid-template-columns:repeat(auto-fit,minmax(230px,1fr)); gap:14px; }
.curves figure { margin:0; }
svg.spans { max-width:760px; } svg.spans text { font-size:12px; }
polyline { fill:none; stroke-linejoin:round; }
polyline.raw { stroke:var(--accent); opacity:.25; stroke-width:1; }
polyline.smooth { stroke:var(--accent); stroke-width:2; }
rect.lane { fill:var(--lane); } rect.true { fill:var(--true); } rect.made { fill:var(--made); opacity:.85; }
.q { font-weight:550; margin:8px 0; }
.answers { display:grid; gap:10px; margin-top:12px; }
.answer { border-top:1px solid var(--line); padding-top:10px;
  display:grid; grid-template-columns:130px 1fr; gap:4px 14px; }
.answer .who { color:var(--soft); font-size:.88rem; }
.verdict { font-weight:650; font-size:.88rem; margin-left:8px; white-space:nowrap; }
@media (max-width:640px) { .answer { grid-template-columns:1fr; } }
"""
)
