"""What a job needs of the machine: locks, GPUs, signals, its progress and its log."""
