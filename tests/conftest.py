"""What holds for all tests."""

import os

# Tiny tensors gain nothing from threads, and lose much where cores are shared. Before torch is imported, and for
# the commands that tests start; tests of threads ask for them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
