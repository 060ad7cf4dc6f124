"""`python -m lib_dreambooth COMMAND`."""

import sys

from lib_dreambooth.app import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
