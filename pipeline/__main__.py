"""`python -m pipeline` is `unmask`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
