"""What happens to a frame between source and sink; each stage is a generator over the last one."""
