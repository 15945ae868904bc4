"""`python -m cli` is `lasro`; made for `accelerate launch -m cli`."""

import sys

from cli.app import main

sys.exit(main())
