"""Writes the generated part of docs/: `make docs`, or `python -m docs.make` from the repository's root.

docstring.py    a head's docstring, taken apart
reach.py        which positions a pixel takes from and depends on: the real module, random weights
pictures.py     those as pictures
maps.py         what attention maps hold, in closed form
head_page.py    docs/heads/NAME.md
claims.py       figures that others state, each with its source and how ours comes to it
flops_page.py   docs/flops.md; its cross-check comes from cross_check.json, which `segattn flops --cross-check` writes
probes.py       docs/probes.md, from docs/records/probes and probes.txt
index.py        docs/README.md

Tools of their own, not part of `make docs`, because they need trained networks:

images.py                                  every picture below: `python -m docs.make.images`, from segattn zoo's networks
shown.py                                   which networks, scene and pixel they show
predictions.py, attention.py, explorer.py  the pictures of README.md, attention_maps.md and explorer.md
receptive.py                               effective receptive fields: picture, numbers of the heads' pages and receptive_field.md
zoo.py, zoo_run.py, training_command.py    finished runs packed into segattn/zoo/
"""
