"""What machines that watch the server are told."""
