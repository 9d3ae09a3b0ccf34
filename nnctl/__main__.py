"""`python -m nnctl` is `nnctl`."""

from nnctl.cli import main

if __name__ == "__main__":
    main()
