"""Styles that the card adds to those of all pages."""

from pipeline.page.filters import FILTER_CSS
from pipeline.page.style import PAGE_CSS

CSS = (
    PAGE_CSS
    + FILTER_CSS
    + """
:root { --train:#2f6fed; --bench:#d9822b; --asked:#2f6fed; --instant:#c77700; }
@media (prefers-color-scheme: dark) { :root { --train:#7aa5ff; --bench:#f0a35e; --asked:#7aa5ff;
  --instant:#ffb648; } }
rect.train, path.train { fill:var(--train); } rect.bench, path.bench { fill:var(--bench); }
i.train { background:var(--train); } i.bench { background:var(--bench); }
h2 + p, h3 + p { margin-top:0; }
.chip.other { background:none; border:1px solid var(--line); color:var(--soft); }
td .chip, th .chip { white-space:nowrap; margin-right:4px; }
tr.sum td, tr.sum th { font-weight:650; }
tr.use th { color:var(--soft); font-size:.84rem; padding-top:16px; }
table.wide tbody th { white-space:nowrap; overflow-wrap:normal; }
.share { background:var(--lane); border-radius:4px; height:10px; min-width:120px; display:block; }
.share i { display:block; height:10px; border-radius:4px; }
td.bar { width:34%; vertical-align:middle; }
.figures { display:grid; grid-template-columns:repeat(auto-fill,minmax(290px,1fr)); gap:14px; }
.figures figure { margin:0; padding:14px 16px; } .figures figcaption b { color:var(--ink); font-size:.95rem; }
.figures svg { margin:10px 0 6px; } .figures .num { font-size:.79rem; color:var(--soft); margin:2px 0 0; }
table.num th, table.num td { padding:1px 6px 1px 0; border:0; text-align:left; font-size:.79rem; }
table.num th { font-weight:400; } table.num td { color:var(--ink); } table.num .swatch { margin:0; }
.num .swatch, .tile .swatch, th .swatch, h3 .swatch { margin-left:0; }
.legend .swatch:first-child, .item .swatch { margin-left:0; }
svg.spark { width:84px; height:22px; border-bottom:1px solid var(--line); }
td.sp { min-width:100px; } td.sp small { color:var(--soft); }
.samples { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr)); gap:14px;
  align-items:start; }
.samples .example { margin:0; min-width:0; }
.meta { font-size:.82rem; color:var(--soft); overflow-wrap:anywhere; margin:2px 0 0; }
.samples .strip { grid-template-columns:repeat(3,1fr); }
.samples .strip img { max-height:190px; height:auto; object-fit:contain; object-position:left; }
.strip figure { margin:0; } .strip figcaption { border-top:4px solid transparent; margin-top:3px; }
.strip .answer figcaption { border-color:var(--true); }
.strip .asked figcaption { border-color:var(--asked); }
.strip figcaption { font-size:.75rem; }
.turn { display:grid; grid-template-columns:64px 1fr; gap:2px 10px; margin-top:8px; }
.turn .who { color:var(--soft); font-size:.82rem; padding-top:2px; }
.turn .text { min-width:0; max-height:18em; overflow-y:auto; }
.item { display:inline-block; margin-right:12px; }
mark { color:inherit; background:var(--chip); border:1px solid var(--c,var(--line)); border-radius:5px;
  padding:0 3px; font:.82em ui-monospace,SFMono-Regular,Menlo,monospace; white-space:nowrap; }
mark sub { font-size:.8em; margin-left:1px; }
mark.object { border-width:2px; } mark.answer { --c:var(--true); } mark.asked { --c:var(--asked); }
mark.instant { --c:var(--instant); }
.lanes { margin-top:12px; font-size:.8rem; }
.row { display:grid; grid-template-columns:84px 1fr 164px; gap:0 10px; align-items:center; margin-top:4px; }
.row .who { color:var(--soft); }
.row .at:only-child { grid-column:2; } .row .at { color:var(--soft); font-variant-numeric:tabular-nums; }
.line { position:relative; height:12px; background:var(--lane); border-radius:4px; overflow:hidden; }
.line i { position:absolute; top:0; bottom:0; min-width:3px; border-radius:3px; }
.line i.clip { background:var(--soft); opacity:.55; } .line i.answer { background:var(--true); }
.line i.asked { background:var(--asked); } .line i.instant { background:var(--instant); }
.line i.frame { background:var(--soft); width:2px; min-width:2px; border-radius:0; }
.ends { grid-column:2; display:flex; justify-content:space-between; color:var(--soft); }
ol.options { margin:8px 0 0; padding-left:1.6em; list-style:upper-alpha; }
ol.options .right { font-weight:650; }
.right::after { content:" ✓"; color:var(--good); }
@media (max-width:640px) { .turn { grid-template-columns:1fr; } .card { padding:14px; }
  .row { grid-template-columns:84px 1fr; } .row .at { grid-column:2; } .share { min-width:64px; }
  table.wide tbody th { white-space:normal; } }
@media print { .turn .text { max-height:none; } }
"""
)
