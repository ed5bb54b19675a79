"""The report: one HTML file about the runs of some folders, and a server that shows a sweep while it runs.

`data` collects what the page shows as one JSON value, `charts` has its figures as specifications of Vega-Lite, and
`document` puts both into a page with the scripts and the style of this folder. `live` and `serve` are about a sweep
that is still going. What a store holds is data: it reaches the page as JSON or escaped, and scripts write it as text.
"""
