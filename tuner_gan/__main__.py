"""`python -m tuner_gan` is `tuner-gan`."""

import sys

from tuner_gan.cli import main

if __name__ == "__main__":
    sys.exit(main())
