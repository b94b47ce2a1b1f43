"""Writes the generated part of docs/: `make docs`, or `python -m docs.make` from the repository's root.

docstring.py    a head's docstring, taken apart
reach.py        which positions a pixel takes from and depends on: the real module, random weights
pictures.py     those as pictures
maps.py         what attention maps hold, in closed form
head_page.py    docs/heads/NAME.md
claims.py       figures that others state, each with its source and how ours comes to it
flops_page.py   docs/flops.md; its cross-check comes from cross_check.json, which `segattn flops --cross-check` writes
index.py        docs/README.md

A tool of its own, not part of `make docs`:

zoo.py, zoo_run.py, training_command.py    finished runs packed into segattn/zoo/
"""
