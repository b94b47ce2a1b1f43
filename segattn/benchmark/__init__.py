"""Time, memory and work of networks on this machine.

cases.py     what can be measured: the cases of a command, with the tensors and the work of each
piece.py     a case as a task, built in a process of its own
run.py       run(cases, ...) -> BenchRecord: memory case by case, times in turns, with the machine's limits
summary.py   samples summarised as figures
"""
