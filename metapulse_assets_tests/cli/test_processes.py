"""The supervisor: what it starts is watched and restarted, and at the end not one process is left.

Each test runs it in a process of its own, since a supervisor takes in every orphan below it, the test run's own included.
"""

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

PRELUDE = """
import json, os, signal, sys, time
from pathlib import Path
import psutil
from metapulse_assets.platform import processes
from metapulse_assets.platform.processes import ProcessError, ProcessSpec, Supervisor

folder = Path(sys.argv[1])
said = []

def spec(name, program, **options):
    return ProcessSpec(name, (sys.executable, "-c", program), folder / (name + ".log"), dict(os.environ), **options)

def wait_for(path, seconds=60):
    deadline = time.monotonic() + seconds
    while not (folder / path).exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)

def written(path):
    wait_for(path)
    while not (text := (folder / path).read_text()).endswith("."):
        time.sleep(0.02)
    return [int(pid) for pid in text.rstrip(".").split()]

def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE

def report(**values):
    print(json.dumps(values), flush=True)

SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]; "
"""


def drive(folder: Path, program: str) -> dict[str, Any]:
    """Run a program that uses the supervisor; returns what it reported."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(program), str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_an_orphan_that_ignores_every_signal_is_not_left(tmp_path: Path) -> None:
    found = drive(
        tmp_path,
        """
        # The parent starts a child in a session of its own, and ends; the child ignores what can be ignored.
        child = STUBBORN + f"open({str(folder / 'child')!r}, 'w').write(f'{{__import__(\\"os\\").getpid()}}.'); time.sleep(60)"
        parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)"
        processes.TERM_SECONDS = 0.5
        with Supervisor(folder, said.append) as supervisor:
            supervisor.start(spec("parent", parent + "; time.sleep(60)"))
            [pid] = written("child")
            supervisor.stop("parent")
            strays = [process.pid for process in supervisor.strays()]
            supervisor.stop_all()
            report(strays=strays, pid=pid, left=len(supervisor.descendants()), alive=alive(pid))
        """,
    )
    assert found["strays"] == [found["pid"]]
    assert (found["left"], found["alive"]) == (0, False)


def test_stopping_goes_from_the_wanted_signal_to_the_hardest(tmp_path: Path) -> None:
    found = drive(
        tmp_path,
        """
        processes.TERM_SECONDS = 0.3
        with Supervisor(folder, said.append) as supervisor:
            mild = "import signal, sys; signal.signal(signal.SIGINT, lambda *_: (print('bye', flush=True), sys.exit()));"
            ready = "open({!r}, 'w'); import time; time.sleep(60)"
            supervisor.start(spec("mild", mild + ready.format(str(folder / "mild")), stop_signal=signal.SIGINT))
            supervisor.start(spec("stubborn", STUBBORN + ready.format(str(folder / "stubborn")), stop_seconds=0.2))
            wait_for("mild"), wait_for("stubborn")
            pids = [process.pid for process in supervisor.descendants()]
            supervisor.stop_all()
            report(said=said, log=(folder / "mild.log").read_text(), alive=[pid for pid in pids if alive(pid)], pids=len(pids))
        """,
    )
    assert found["log"] == "bye\n"
    assert found["said"] == ["stubborn: still there 0.2 s after SIGTERM", "stubborn: still there 0.3 s after SIGTERM"]
    assert (found["pids"], found["alive"]) == (2, [])


def test_what_dies_is_restarted_and_what_keeps_dying_ends_it(tmp_path: Path) -> None:
    found = drive(
        tmp_path,
        """
        processes.FIRST_PAUSE_SECONDS = 0.01
        # Each life leaves a mark.
        program = f"import os; os.mkdir({str(folder)!r} + f'/life-{{os.getpid()}}'); "
        program += "print('\\\\x1b[31mno more\\\\x1b[0m'); exit(7)"
        with Supervisor(folder, said.append) as supervisor:
            supervisor.start(spec("fragile", program))
            error = None
            deadline = time.monotonic() + 120
            while error is None and time.monotonic() < deadline:
                try:
                    supervisor.watch()
                except ProcessError as problem:
                    error = str(problem)
                time.sleep(0.01)
            report(error=error, said=said, lives=len(list(folder.glob("life-*"))))
        """,
    )
    assert found["error"] == "fragile died 5 times in a row, exit code 7: no more"
    assert found["lives"] == 5
    assert found["said"][:2] == ["fragile died (exit code 7: no more); restarting it in 0.01 s", "fragile: restarted"]
    assert found["said"].count("fragile: restarted") == 4


def test_a_long_life_forgives_earlier_deaths(tmp_path: Path) -> None:
    found = drive(
        tmp_path,
        """
        processes.FIRST_PAUSE_SECONDS = processes.QUICK_SECONDS = 0.0
        with Supervisor(folder, said.append) as supervisor:
            supervisor.start(spec("short", "pass"))
            deadline = time.monotonic() + 120
            while said.count("short: restarted") < 7 and time.monotonic() < deadline:
                supervisor.watch()
                time.sleep(0.01)
            report(restarts=said.count("short: restarted"))
        """,
    )
    assert found["restarts"] == 7


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    found = drive(
        tmp_path,
        """
        (folder / "early.log").write_text("of an earlier start")
        with Supervisor(folder, said.append) as supervisor:
            supervisor.start(spec("early", "import sys; sys.exit('no such folder')"))
            errors = []
            for name, program in (("early", None), ("late", SLEEP)):
                if program:
                    supervisor.start(spec(name, program))
                try:
                    supervisor.wait_ready(name, lambda: False, 0.5 if program else 20)
                except ProcessError as error:
                    errors.append(str(error))
            report(errors=errors, log=(folder / "early.log").read_text())
        """,
    )
    assert found["errors"][0] == "early did not start, exit code 1: no such folder"
    assert found["errors"][1].startswith("late is not ready after 0 s")
    assert found["log"].startswith("of an earlier start")


def test_the_spared_process_and_its_children_are_left_alone(tmp_path: Path) -> None:
    found = drive(
        tmp_path,
        """
        import subprocess
        daemon = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        daemon += f"open({str(folder / 'pids')!r}, 'w').write(f'{{__import__(\\"os\\").getpid()}} {{p.pid}}.'); time.sleep(60)"
        server = subprocess.Popen([sys.executable, "-c", daemon])
        pids = written("pids")
        with Supervisor(folder, said.append, lambda: server.pid) as supervisor:
            supervisor.start(spec("other", SLEEP))
            supervisor.stop_all()
            left = supervisor.descendants()
        report(alive=[alive(pid) for pid in pids], left=len(left))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        """,
    )
    assert found == {"alive": [True, True], "left": 0}


def test_a_long_log_is_moved_aside_while_it_is_written(tmp_path: Path) -> None:
    found = drive(
        tmp_path,
        """
        processes.LARGEST_LOG_BYTES = 1000
        program = f"import os, time; print('x' * 2000, flush=True); open({str(folder / 'full')!r}, 'w'); "
        program += f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(folder / 'moved')!r}), True)]; "
        program += f"print('y', flush=True); open({str(folder / 'more')!r}, 'w'); time.sleep(60)"
        with Supervisor(folder, said.append) as supervisor:
            supervisor.start(spec("talker", program))
            wait_for("full")
            supervisor.watch()
            (folder / "moved").touch()
            wait_for("more")
            report(now=(folder / "talker.log").read_text(), before=len((folder / "talker.1.log").read_text()))
        """,
    )
    assert found == {"now": "y\n", "before": 2001}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_they_end_when_the_supervisor_is_killed_outright(tmp_path: Path) -> None:
    program = PRELUDE + textwrap.dedent(
        """
        with Supervisor(folder, said.append) as supervisor:
            supervisor.start(spec("service", SLEEP))
            report(pid=supervisor.descendants()[0].pid)
            time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        service = psutil.Process(json.loads(driver.stdout.readline())["pid"])
        driver.send_signal(signal.SIGKILL)
        driver.wait(60)
    deadline = time.monotonic() + 60
    while service.is_running() and service.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
