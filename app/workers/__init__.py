"""Several processes on the same two ports: who starts and replaces them, and how they keep in step."""
