"""Photographs, one or a folder full: metadata kept, product shots, many at the network's speed."""
