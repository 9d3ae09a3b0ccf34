"""What several tests share: nnctl as a process, a second implementation of it, pictures and files."""
