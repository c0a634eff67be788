"""The style sheet of what people keep on paper: black on white, any paper size, nothing cut.

Only table rows, headings, and blocks marked so refuse to break over pages; all else may, so that nothing is pushed off
the paper. Every text wraps anywhere, if it must; groups of hex never do.
"""

from __future__ import annotations

CSS = """
@page { margin: 14mm 14mm 16mm; @bottom-right { content: "page " counter(page) " of " counter(pages); font: 8pt sans-serif } }
* { box-sizing: border-box }
html { font: 9.5pt/1.35 "DejaVu Sans", "Liberation Sans", Arial, sans-serif; color: #000; background: #fff }
body { margin: 0 auto; max-width: 188mm }
h1 { font-size: 17pt; margin: 2mm 0 3mm } h2 { font-size: 12.5pt; margin: 6mm 0 1.5mm } h3 { font-size: 10pt; margin: 4mm 0 1mm }
h1, h2, h3 { break-after: avoid; break-inside: avoid; line-height: 1.2 }
h1, h2, h3, p, li, td, th { overflow-wrap: anywhere }
p { margin: 0 0 1.5mm; orphans: 2; widows: 2 } ul { margin: 0 0 2mm; padding-left: 5mm } li { margin: 0 }
table { border-collapse: collapse; width: 100%; margin: 0 0 2.5mm }
th, td { border: .6pt solid #777; padding: .8mm 1.4mm; text-align: left; vertical-align: top; font-weight: normal }
thead th, .facts th { font-weight: bold }
thead { display: table-header-group } tfoot { display: table-footer-group }
tr, .keep { break-inside: avoid }
small { font-size: 7.5pt; color: #333 }
.frame { margin: 0 } .frame > * > tr { break-inside: auto }
.frame > * > tr > td { border: 0; padding: 0 1pt } .frame > thead > tr > td { padding-bottom: 2mm }
.frame > tfoot > tr > td { padding-top: 2mm }
.run { font-size: 8pt; margin: 0; border-bottom: .6pt solid #000 } tfoot .run { border: 0 }
.band { margin: 0 0 1mm; padding: .8mm; border: 1.5pt solid #000; font-weight: bold; text-align: center }
.facts { table-layout: fixed } .facts th { width: 38mm }
.hex, .words { font-family: "DejaVu Sans Mono", "Liberation Mono", monospace }
.hex { font-size: 9pt } p.hex { margin: 0 } .hex i { font-style: normal; white-space: nowrap }
.words { width: auto; margin: 1mm 0 } .words td { border: 0; padding: 0 1.6mm 0 0; font-size: 7.5pt; overflow-wrap: normal; white-space: nowrap }
.big .hex { font-size: 11pt } .big .words td { font-size: 9pt } .big .words small { font-size: 7pt }
td .hex { font-size: 8.5pt } .words small { font-size: 6pt }
.digest { break-inside: avoid; display: flex; flex-wrap: wrap; gap: 2mm 5mm; align-items: flex-start; margin: 0 0 2mm }
.digest > div { min-width: 0 } .digest svg { margin-left: auto } .digest svg { width: 30mm; height: 30mm; flex: none }
.word { white-space: nowrap } .lead { break-after: avoid } .after { break-before: avoid } .bad { border: 1.8pt solid #000; padding: 1.2mm 2mm; font-weight: bold }
.good { border: .6pt solid #000; padding: 1.2mm 2mm }
.line { border-top: 3pt double #000; border-bottom: 3pt double #000; padding: 1.5mm 0; margin: 5mm 0; font-weight: bold; text-align: center; break-after: avoid; break-inside: avoid }
.box { display: inline-block; width: 3.6mm; height: 3.6mm; border: .9pt solid #000; vertical-align: -.5mm; margin-right: 1mm }
.blank { display: inline-block; border-bottom: .7pt solid #000; width: 34mm; height: 5mm; vertical-align: -1mm }
.short { width: 17mm } .long { width: 80mm }
.work { table-layout: fixed } .work > tbody > tr > td { padding-bottom: 1.6mm } .work > thead > tr > th:first-child { width: 11mm }
.work > thead > tr > th:nth-child(3), .work > thead > tr > th:nth-child(4) { width: 17mm }
.field { display: inline-block; margin: 0 5mm .5mm 0; max-width: 100% }
.grid { table-layout: fixed; margin: 1mm 0; break-inside: avoid } .grid td { height: 7.5mm; padding: 0 .6mm; width: 12.5% } .grid small { font-size: 6pt }
.room td { height: 11mm } .tall td { height: 8mm }
.boxes th:nth-child(n+3) { width: 24mm } .bags th:nth-child(n+5) { width: 26mm } .signed th:nth-child(4) { width: 70mm }
.log { font-size: 8pt; table-layout: fixed } .log td, .log th { padding: .4mm 1mm }
.log th:nth-child(1) { width: 11mm } .log th:nth-child(2) { width: 36mm } .log th:nth-child(3) { width: 24mm }
@media screen { body { padding: 4mm } }
"""  # noqa: E501 - a rule a line is easier to read than the same broken up
