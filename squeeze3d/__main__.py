"""`python -m squeeze3d` is `sq3d`."""

from squeeze3d.cli import main

if __name__ == "__main__":
    main()
