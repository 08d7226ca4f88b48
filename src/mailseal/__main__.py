"""`python -m mailseal` is the same as `mailseal`."""

import sys

from mailseal.cli import main

sys.exit(main())
