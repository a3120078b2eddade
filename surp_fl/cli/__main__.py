"""`python -m surp_fl.cli`."""

import sys

from surp_fl.cli import main

sys.exit(main())
