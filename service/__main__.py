"""`python -m service`: what takes long is begun, all else imported, and served until SIGTERM."""

import asyncio
import gc
import os
import sys

import uvloop
from pydantic import ValidationError

from models_store.confinement import end_with, leave_no_core
from service.begun import Begun
from service.callers.keys import KeysBroken
from service.doubts import InDoubt, tell_doubts
from service.floors import TooOld, check_floors
from service.processes import Member, listen, run_processes
from service.settings import Settings
from service.store.embedded_redis import DataDirInUse, StoreDidNotStart
from service.watching.logs import configure_logging


def main() -> int:
    """Serve with the environment's settings; return the exit status."""
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"kindred: {f'KINDRED_{name}: ' if name else ''}{problem['msg']}\n")
        return 2
    configure_logging(settings.log_level)
    leave_no_core(debuggers=settings.allow_debuggers)
    try:
        check_floors()
        tell_doubts(settings.doubts(), strict=settings.strict)
        member = Member.read(sys.argv[1:])
        if member is not None:
            end_with(member.parent)
        elif settings.processes > 1:
            return asyncio.run(run_processes(settings))
        # First: a port that is taken is told at once.
        listeners = [listen(settings.host, settings.port, shared=member is not None)]
        if member is not None:
            listeners.append(listen(settings.host, member.port))
        with Begun(settings) as begun:
            gc.disable()  # to look for garbage in what is imported takes a tenth as long
            from service.serving import serve

            gc.enable()
            uvloop.run(serve(settings, member, listeners, begun))
    except (DataDirInUse, InDoubt, KeysBroken, StoreDidNotStart, TooOld, OSError) as error:
        sys.stderr.write(f"kindred: {error}\n")
        return 3
    return 0


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # an index may still be at work in a thread, on memory that would be freed
