"""What many rooms share and none owns: errors, progress, worker processes, instruction strings."""
