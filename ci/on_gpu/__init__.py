"""What only a machine with a GPU can tell, a file a part: see ci/gpu.sh."""
