"""What study, comparison and bench share; nothing here imports them.

sources.py    which record files a path stands for; images.py: the counts of each image
student.py    t intervals and tests; bootstrap.py: the paired bootstrap over images
twoway.py     networks with the same seeds, over images and seeds; power.py: how many of each a difference needs
text.py       figures as text, cells for Markdown, CSV and LaTeX; terminal.py: tables in the terminal
drawing.py    how figures look; labels.py: places their labels
template.py   pages from templates/
"""
