"""The explorer of `segattn demo`: click a pixel, see where every network looks.

`networks` finds and loads them, `pictures` reads what is uploaded, `explorer` computes and remembers, `drawing` makes colours,
`cards` and `figure` the page's results and their PNG, `page` the layout (Gradio), `server` what is bound and what is let in.
"""
