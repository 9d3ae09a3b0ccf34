"""Bytes on disk: atomic files, strict archives of arrays; nothing of networks."""
