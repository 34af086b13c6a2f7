"""``python -m evaluation.serve``: the process behind ``ufvideo serve``."""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from evaluation.predict.__main__ import quiet
from evaluation.serve.limits import Limits
from pipeline import progress
from pipeline.commands.cli import COMMANDS
from pipeline.commands.serve import add_arguments, check
from pipeline.errors import UserError
from pipeline.jobs.guard import guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal. Exit code: 1 for a crash, 2 for a user's mistake, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="ufvideo serve", description=COMMANDS["serve"])
    add_arguments(parser)
    options = parser.parse_args(argv)
    return guarded(lambda: _serve(options))


def _serve(options: argparse.Namespace) -> int:
    """A wrong port or checkpoint is refused before the weights are read, and these before the page opens."""
    check(options)
    quiet()
    with listen(options.host, options.port) as listener:
        from evaluation.predict.ask import load_checkpoint

        model = load_checkpoint(
            options.checkpoint,
            device=options.device,
            max_new_tokens=options.max_new_tokens,
            seg_state=options.seg_state,
            prompted_frames=options.prompted_frames,
        )
        with redirect_stdout(sys.stderr), progress.track("load", 1) as bar:
            _ = model.predictor
            bar.done = 1
        with tempfile.TemporaryDirectory(
            prefix="ufvideo-uploads-", dir=options.upload_folder, ignore_cleanup_errors=True
        ) as uploads:
            from evaluation.serve.guard import is_loopback
            from evaluation.serve.server import PageServer

            server = PageServer(
                model,
                listener,
                host=options.host,
                uploads=Path(uploads),
                folder=None if options.videos is None else Path(options.videos),
                limits=Limits(upload_bytes=round(options.max_mb * 1e6), length_s=options.max_minutes * 60),
                frames=options.frames,
            )
            server.start()
            if not is_loopback(options.host):
                print(
                    f"note: there is no password; everybody who reaches {server.url} can use it.", flush=True
                )
            print(f"Next: open {server.url} (Ctrl-C ends the server and removes uploads)", flush=True)
            server.wait()
    return 1


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, so that nobody else takes the port while the weights are read."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        raise UserError(
            f"{host}:{port}",
            f"cannot be served on ({error.strerror or error}).",
            "Give another --port, or --port 0 for one that is free.",
        ) from error
    return listener


if __name__ == "__main__":
    sys.exit(main())
