"""Time, memory and work of networks on this machine.

cases.py     what can be measured: the cases of a call, and what each one's tensors and work are
piece.py     a case as a piece of work, built in a process of its own
run.py       run(cases, ...) -> BenchRecord: memory case by case, times in turns, beside the machine's limits
summary.py   samples as figures
"""
