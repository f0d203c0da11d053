"""`python worker.py`: a Towpath worker; `--help` tells its options."""

from towpath.worker import main

if __name__ == "__main__":
    main()
