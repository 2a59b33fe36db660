"""Inside the child process: plugins, the GPU thread, models and results."""
