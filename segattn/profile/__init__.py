"""The cost of any `nn.Module`: counted, timed and measured. Knows nothing of heads, backbones and networks of segattn.

flops.py        count(module, *inputs) -> Ledger: every operator, attributed to its module, on `meta` or for real
formulas.py     one formula per operator; operators.py: which operator has which, register() adds one
ledger.py       the rows and their totals
render.py       a ledger as table, CSV, JSON or Markdown; markdown.py: the one writer of Markdown tables
recording.py    the distinct calls of a forward pass, each to be run again on its own
other_counters.py   figures of fvcore, ptflops, thop, torchinfo and torch, and why they differ from ours
worker.py       a process that builds a task and runs it on request
memory.py       peak memory of a task, measured in such a process; in_use.py: how
latency.py      times of several tasks, measured in turns
liveness.py     peak memory predicted on fake tensors; scratch.py and fused_attention.py: what kernels allocate
limits.py       products and copies: what the machine can do
environment.py  the machine and versions that a figure was measured with
"""
