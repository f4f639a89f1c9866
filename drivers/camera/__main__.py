"""Runs a camera's process: `python -m drivers.camera DESCRIPTOR`, as the gate starts it."""

import sys

from drivers.camera.process import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
