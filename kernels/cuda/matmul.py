"""Matrix products and linear layers.

The textbook's kernel gives a thread to every result. It reads two floats from memory for each multiply-add, and waits.
The fast one shares: a block of 256 threads does 128 x 128 results. Together they bring 8 columns of a and 8 rows of b
into shared memory, then each thread multiplies 8 floats of one by 8 of the other in registers: 64 multiply-adds for 16
floats read. While they multiply, the next 8 are on their way from memory to registers, and go to the other half of
shared memory: one barrier a step. (Volkov and Demmel, "Benchmarking GPUs to tune dense linear algebra", 2008; NVIDIA,
"CUTLASS: fast linear algebra in CUDA C++", 2017.)
"""

from __future__ import annotations
