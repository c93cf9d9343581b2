"""Fast paths on CPUs, tested equal to the readable versions."""
