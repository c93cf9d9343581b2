"""Start Snakemake and the package's jobs without their imports, which take most of the time of a short one.

    subprocess.run([forks.python(), "-m", "snakemake", …])

A server imports both once, and forks for every start: the same code, with its own arguments, folder, environment and
files, in a process of its own. `python()` is a program to be called as Python; the workflow hands its folder on to its
jobs as the first of PATH. Whatever is not one of the two modules runs in the real Python. Tests of what happens when
processes are killed start them in the usual way, whose children and process groups are the real ones.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

MODULES = ("snakemake", "bigloop")
LENGTH = struct.Struct("!I")

CALL = """#!{python} -IS
import json, os, socket, struct, sys
if sys.argv[1:2] != ["-m"] or sys.argv[2] not in {modules}:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
request = json.dumps({{"argv": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}}).encode()
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [struct.pack("!I", len(request))], [0, 1, 2])
server.sendall(request)
status = int(server.makefile().read() or 255)
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


@cache
def python() -> Path:
    """The program to call as Python; starts the server, which ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="forks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address, program = str(folder / "server"), folder / "python"
    program.write_text(CALL.format(python=sys.executable, modules=MODULES, address=address))
    program.chmod(0o755)
    command = [sys.executable, __file__, address, str(program)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    if server.stdout.readline() != "ready\n":
        raise RuntimeError("the server of forks did not start")
    return program


def serve(address: str, program: str) -> NoReturn:
    """Fork for each request, and tell the one who asks how the fork ended; ends when standard input does."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    waiting.register(0, selectors.EVENT_READ)
    forks: dict[int, tuple[int, socket.socket]] = {}  # by the descriptor of the fork
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                asking, _ = listener.accept()
                request, files = _read(asking)
                if not (fork := os.fork()):
                    waiting.close()
                    for place in (listener, asking, *(other for _, other in forks.values())):
                        place.close()
                    for descriptor in forks:
                        os.close(descriptor)
                    _become(request, files, program)
                for file in files:
                    os.close(file)
                descriptor = os.pidfd_open(fork)
                forks[descriptor] = fork, asking
                waiting.register(descriptor, selectors.EVENT_READ)
                waiting.register(asking, selectors.EVENT_READ, fork)
            elif key.fileobj in forks:
                fork, asking = forks.pop(key.fd)
                waiting.unregister(key.fd)
                os.close(key.fd)
                if asking in waiting.get_map():
                    waiting.unregister(asking)
                status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
                with asking, suppress(OSError):  # who asked may have ended
                    asking.sendall(str(status).encode())
            elif key.fileobj == 0:
                for fork, _ in forks.values():
                    os.kill(fork, signal.SIGKILL)
                os._exit(0)
            elif key.fileobj in waiting.get_map():  # the one who asks has ended: so does its fork
                waiting.unregister(key.fileobj)
                os.kill(key.data, signal.SIGTERM)


def _read(asking: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What is asked for, and standard input, output and error of the one who asks."""
    length, files, _, _ = socket.recv_fds(asking, LENGTH.size, 3)
    with asking.makefile("rb") as content:
        return json.loads(content.read(*LENGTH.unpack(length))), files


def _become(request: dict[str, Any], files: list[int], program: str) -> NoReturn:
    """Make this process the one that was asked for, but for its modules."""
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    further = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [request["folder"], *further, *(path for path in sys.path[1:] if path not in own)]
    sys.argv = request["argv"]
    sys.executable = program
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        end: object = None
    except SystemExit as asked:
        end = asked.code
    if isinstance(end, str):
        print(end, file=sys.stderr)
    threading._shutdown()  # waits for threads, as an interpreter does that ends
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end if isinstance(end, int) else bool(end))  # without tidying away what was imported


def _import_everything() -> None:
    import bigloop

    for module in pkgutil.walk_packages(bigloop.__path__, "bigloop."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    import snakemake.cli

    importlib.import_module("torch._dynamo")  # as the first optimiser would
    snakemake.cli.get_argument_parser()  # imports Snakemake's plugins
    gc.freeze()


if __name__ == "__main__":
    _import_everything()
    serve(*sys.argv[1:])
