"""Whether the process of this container is well: what its HEALTHCHECK runs, instead of a curl that a slim image lacks.

    python deploy/healthcheck.py http PORT PATH      a page of this container answers 200
    python deploy/healthcheck.py process WORD WORD…  a process with these words in its command line lives here

Exit codes: 0 it is well, 1 it is not, 2 wrong use. Imports nothing of MetaPulse, so that looking costs next to nothing.
"""

import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

SECONDS = 8.0


def page_answers(port: int, path: str) -> str | None:
    """None if the page answers 200, else what came instead."""
    # Not urllib: that would ask a proxy of the environment.
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"127.0.0.1:{port}{path}: {type(error).__name__}"
    finally:
        connection.close()
    return None if status == 200 else f"127.0.0.1:{port}{path}: HTTP {status}"


def process_lives(words: list[str]) -> str | None:
    """None if a process whose command line has all these words lives, and is neither stopped nor a zombie."""
    import psutil

    asleep = {psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED, psutil.STATUS_DEAD}
    for process in psutil.process_iter(["cmdline", "status"]):
        program, *line = process.info["cmdline"] or [""]
        # The words are in the command lines of this program and of the container's init, too.
        is_ours = Path(program).name.startswith("python") and sys.argv[0] not in line
        if is_ours and set(words) <= set(line) and process.info["status"] not in asleep:
            return None
    return f"no living process: {' '.join(words)}"


def main(arguments: list[str]) -> int:
    """The program."""
    match arguments:
        case ["http", port, path] if port.isdecimal() and path.startswith("/"):
            trouble = page_answers(int(port), path)
        case ["process", *words] if words:
            trouble = process_lives(words)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    if trouble:
        print(trouble, file=sys.stderr)
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
