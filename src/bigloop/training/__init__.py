"""Training by gradients: the step loop, resume, recorded steps, averages, devices."""
