/// The style sheet of every picture: system fonts, and colours for a light and a dark page.
let svgStyle = """
    text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", \
    sans-serif; font-size: 13px; fill: #1c2330; }
    .page { fill: #ffffff; }
    .title { font-size: 22px; font-weight: 650; }
    .heading { font-size: 15px; font-weight: 650; }
    .muted { font-size: 13px; fill: #667085; }
    .note { font-size: 12px; fill: #667085; }
    .centre { text-anchor: middle; font-size: 12px; fill: #667085; }
    .heavy { font-weight: 650; }
    .mono, .address { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, \
    "DejaVu Sans Mono", monospace; font-size: 11px; fill: #667085; }
    .address { text-anchor: end; }
    .badge-text { font-size: 10px; font-weight: 650; text-anchor: middle; fill: #ffffff; }
    .axis, .tick, .gap { fill: none; stroke: #c3cad6; }
    .axis { stroke-width: 1.5; stroke-linejoin: round; }
    .gap { stroke-dasharray: 2 4; }
    .block, .band { stroke-width: 1.25; }
    .ram { fill: #dcebfb; stroke: #5b9bd9; }
    .ro { fill: #fdeecb; stroke: #d9a036; }
    .gmem { fill: #d7f2e3; stroke: #3fa673; }
    .fold { fill: #eff2f6; stroke: #98a2b3; }
    .added { fill: #d5f3dc; stroke: #35a354; }
    .removed { fill: #fbdede; stroke: #d65454; }
    .moved { fill: #dbe6ff; stroke: #4d78e0; }
    .reflagged { fill: #eddffb; stroke: #9a5bd0; }
    .replaced { fill: #ffe8d1; stroke: #dd8430; }
    .unchanged { fill: #eff2f6; stroke: #b4bcc9; }
    .band { fill-opacity: 0.55; stroke-opacity: 0.55; }
    .band.unchanged { fill-opacity: 0.5; stroke: none; }
    .pill-log { fill: #9a5bd0; }
    .pill-ro { fill: #c58a1c; }
    .pill-gmem { fill: #2f9462; }
    .pill-other { fill: #667085; }
    @media (prefers-color-scheme: dark) {
    text { fill: #e6eaf0; }
    .page { fill: #12161d; }
    .muted, .note, .centre, .mono, .address { fill: #98a3b3; }
    .badge-text { fill: #12161d; }
    .axis, .tick, .gap { stroke: #465063; }
    .ram { fill: #17324d; stroke: #4a8fd0; }
    .ro { fill: #43340f; stroke: #c8952f; }
    .gmem { fill: #143a29; stroke: #3fa673; }
    .fold, .unchanged { fill: #1d232d; stroke: #566174; }
    .added { fill: #143a20; stroke: #3fae5e; }
    .removed { fill: #451d1f; stroke: #d65c5c; }
    .moved { fill: #1c2f5c; stroke: #6b90ee; }
    .reflagged { fill: #35214a; stroke: #ab74dc; }
    .replaced { fill: #472c12; stroke: #dd8f45; }
    .pill-log { fill: #b98ae4; }
    .pill-ro { fill: #dcae55; }
    .pill-gmem { fill: #5cc08f; }
    .pill-other { fill: #98a3b3; }
    }
    """
