"""Typed, versioned records of what was measured: plain data, read and written without torch.

run.py         one network trained and evaluated
swept.py       settings that a study sweeps over
study.py       which runs belong together, the cost of every head, pictures of where they look, receptive fields
bench.py       time and memory of networks on one machine
cost.py        multiply-adds, parameters and bytes of a network, three ways
head_facts.py  what a head declares about its mechanism
schema.py      the version of the schema, and where figures were measured
files.py       reading and writing
display.py     what a notebook shows of a record
writing.py     any file, whole or not at all
pictures.py    opening picture files, of named formats only
image_range.py  the range of a network's training images, and what lies outside of it
lease.py       one writer of a folder at a time
published.py   what others report for the same heads, from published.csv
"""

from segattn.catalogue import read_bytes, read_json, regular_size
from segattn.records.bench import BenchRecord
from segattn.records.cost import Cost, PartCost
from segattn.records.files import kind_of, open_arrays, read, read_arrays, write, write_bytes
from segattn.records.head_facts import HeadFacts
from segattn.records.lease import Held, Lease, LeaseLost
from segattn.records.run import (
    CurvePoint,
    EarlierSettings,
    Example,
    RunRecord,
    Scores,
    Start,
    Strata,
    Stratum,
    WithoutAttention,
)
from segattn.records.schema import SCHEMA, Environment
from segattn.records.study import Field, Fields, FullyTrained, Look, Looks, StudyRecord
from segattn.records.writing import sweep, writing

__all__ = [
    "SCHEMA",
    "BenchRecord",
    "Cost",
    "CurvePoint",
    "EarlierSettings",
    "Environment",
    "Example",
    "Field",
    "Fields",
    "FullyTrained",
    "HeadFacts",
    "Held",
    "Lease",
    "LeaseLost",
    "Look",
    "Looks",
    "PartCost",
    "RunRecord",
    "Scores",
    "Start",
    "Strata",
    "Stratum",
    "StudyRecord",
    "WithoutAttention",
    "kind_of",
    "open_arrays",
    "read",
    "read_arrays",
    "read_bytes",
    "read_json",
    "regular_size",
    "sweep",
    "write",
    "write_bytes",
    "writing",
]
