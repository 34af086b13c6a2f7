"""Styles that the doctor's page adds to those of all pages."""

from pipeline.page.filters import FILTER_CSS
from pipeline.page.style import PAGE_CSS

CSS = (
    PAGE_CSS
    + FILTER_CSS
    + """
:root { --warn:#a86200; } @media (prefers-color-scheme: dark) { :root { --warn:#f0a35e; } }
h2 + p, h3 + p { margin-top:0; }
.tile.bad .value { color:var(--bad); } .tile.good .value { color:var(--good); }
.verdict { white-space:nowrap; font-weight:600; font-size:.86rem; }
.verdict.bad { color:var(--bad); } .verdict.good { color:var(--good); } .verdict.look { color:var(--soft); }
.use { color:var(--soft); font-size:.84rem; font-weight:400; }
.name { font:13px ui-monospace,SFMono-Regular,Menlo,monospace; white-space:nowrap; }
.title { color:var(--soft); font-size:.84rem; }
.share { position:relative; display:block; background:var(--lane); border-radius:4px; height:8px;
  min-width:110px; margin-top:7px; overflow:hidden; }
.share i { position:absolute; left:0; top:0; bottom:0; min-width:2px; background:var(--accent); }
.share i.bad { background:var(--bad); }
.share b { position:absolute; top:0; bottom:0; width:2px; background:var(--ink); opacity:.55; }
td details { margin:4px 0 0; font-size:.86rem; } td summary { font-size:.84rem; }
.case { margin-top:6px; font-size:.86rem; } .case p { margin:0; color:var(--soft); overflow-wrap:anywhere; }
.problem { color:var(--bad); font-size:.9rem; margin:0 0 8px; }
table.found td:nth-child(1) { width:52%; } table.found td.bar { width:14%; }
.card + h3 { margin-top:28px; }
dl.words { grid-template-columns:minmax(150px,max-content) 1fr; gap:12px 20px; }
dl.words dt { color:var(--ink); } dl.words dd { font:inherit; font-size:.93rem; }
dl.words dd p { margin:0; } dl.words dd p + p { color:var(--soft); }
@media (max-width:640px) { dl.words { grid-template-columns:1fr; gap:2px; }
  dl.words dd { margin-bottom:14px; } .share { min-width:60px; } .name { white-space:normal; }
  table.found :is(th, td):nth-child(5) { display:none; } }
"""
)
