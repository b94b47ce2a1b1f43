"""The explorer of `segattn demo`: click a pixel, see where every network looks.

networks.py   finds and loads the networks
pictures.py   reads examples and uploads
explorer.py   runs the networks and keeps their features, in cache.py
drawing.py    colours
cards.py      the page's results, and figure.py the same as a PNG
page.py       the layout, in Gradio
server.py     the address that is served, and guard.py which requests are answered
"""
