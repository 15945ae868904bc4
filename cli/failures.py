"""A user's mistake is one line on stderr and exit code 2; never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from reward_zoo.errors import LasroError
from surrogate.errors import Ended

USAGE_ERROR, INTERRUPTED = 2, 130
# What safetensors and torch.save say, neither of which raises OSError.
DISK_FULL = ("No space left on device", "Disk quota exceeded", "PytorchStreamWriter failed writing file", "] . unexpected pos")
_RESUME = "; run the same command with --resume to go on"
AFTER_CTRL_C = {  # where what was done is kept, and where it is not
    **dict.fromkeys(("label", "distill", "finetune", "quickstart"), _RESUME),
    **dict.fromkeys(("bench", "download"), "; run the same command again to go on: what is finished is kept"),
    "compare": "; run the same command again to go on: votes are kept",
    "evaluate": "; nothing was written",
}


def run_guarded(command: Callable[[], None]) -> int:
    """Run a command; its exit code. LASRO_DEBUG=1 lets tracebacks through."""
    try:
        command()
    except Ended as ended:
        print("ended, and saved; run the same command with --resume to go on", file=sys.stderr)
        return ended.exit_code
    except LasroError as error:
        if os.environ.get("LASRO_DEBUG"):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return USAGE_ERROR
    except OSError as error:
        if os.environ.get("LASRO_DEBUG"):
            raise
        print(
            f"error: {error.filename or 'a file'}: {error.strerror or error}; free space or choose another --out",
            file=sys.stderr,
        )
        return USAGE_ERROR
    except Exception as error:
        if os.environ.get("LASRO_DEBUG") or not any(sign in str(error) for sign in DISK_FULL):
            raise
        print("error: no space left on the disk; free some and use --resume, or choose another --out", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return interrupted()
    return 0


def interrupted() -> int:
    """Say how to go on after Ctrl-C; its exit code."""
    command = next((word for word in sys.argv[1:] if word in AFTER_CTRL_C), "")
    print(f"interrupted{AFTER_CTRL_C.get(command, '')}", file=sys.stderr)
    return INTERRUPTED
