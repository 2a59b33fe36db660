"""A fuzzer for every format that is read: seeds, mutations by structure, targets, and a process with budgets."""
