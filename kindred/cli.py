"""The command line: which commands there are, and what each is told."""

import os
import sys
from argparse import Action, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

SAME, DIFFERENT, ERROR = 0, 1, 2  # exit statuses, as grep has them
INTERRUPTED = 130

URL = "KINDRED_URL"
KEY = "KINDRED_API_KEY"
DEBUG = "KINDRED_DEBUG"
ENVIRONMENT = f"""environment:
  {URL}        where the service is, else http://127.0.0.1:$KINDRED_PORT (8000)
  {KEY}    API key, if it wants one
  {DEBUG}      show where a defect is, where it is set
  NO_COLOR           no colours, where it is set"""
SERVICE_ENVIRONMENT = """environment, of which the README has all:
  KINDRED_HOST, KINDRED_PORT    where to listen: 127.0.0.1, 8000
  KINDRED_DATA_DIR              folder of the embedded store: var
  KINDRED_REDIS_URL             a Redis of your own instead
  KINDRED_MODELS_STORE          folder of bundles: models_store/bundles
  KINDRED_DEFAULT_COMPARATOR    the one that is used where a request names none
  KINDRED_DEVICE                auto, cpu or cuda
  KINDRED_API_KEYS_FILE         keys that open it, one a line"""
STATUSES = "exit status: 0 the same or a match, 1 different or unknown, 2 an error"
SAMPLE = "a path, - for what is piped in, or text:… for words"

Commands = Any  # argparse keeps its type to itself


class Misused(Exception):
    """What was asked for cannot be done; the message says why."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words name, and return its exit status."""
    _prepare_streams()
    try:
        asked = _parser().parse_args(words)
        module, _, name = asked.command.partition(":")
        run: Callable[[Namespace], int] = getattr(import_module(module), name)
        return run(asked)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # who reads has read enough
        _write_no_more()
        return ERROR
    except Exception as error:  # or Python would end with what means different
        if os.environ.get(DEBUG):
            raise
        return _fail(_told(error))


def _prepare_streams() -> None:
    """Let what cannot be encoded be written escaped, and stderr be there if it was closed."""
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write_no_more() -> None:
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: Exception) -> str:
    """Return what to say of an error."""
    from kindred.problems import KindredError, Problem, Unreachable

    match error:
        case Problem():
            return f"{error.slug or error.title} ({error.status}): {error.detail}"
        case Unreachable():
            return f"{error}\nStart a service with `make serve`, or say where one is: {URL}"
        case KindredError() | Misused():
            return str(error)
        case ModuleNotFoundError(name="rich" | "PIL"):
            return f"the demo draws with {error.name}: pip install 'kindred[demo]'"
        case OSError():
            return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"a defect of this program ({what}); {DEBUG}=1 shows where"


def _fail(message: str) -> int:
    sys.stderr.write(f"kindred: {message}\n")
    return ERROR


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "kindred",
        description="Have we seen this before, and whose is it?",
        epilog=f"{ENVIRONMENT}\n\n{STATUSES}",
        formatter_class=_formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print it")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _serving(commands)
    _comparing(commands)
    _measuring(commands)
    _galleries(_group(commands, "galleries", "look at galleries, carry them elsewhere"))
    _comparators(_group(commands, "comparators", "look at what compares"))
    _keys(_group(commands, "key", "keys of the service"))
    return parser


def _serving(commands: Commands) -> None:
    _command(
        commands,
        "serve",
        "kindred.commands.serving:serve",
        "serve with the KINDRED_ settings of the environment",
        epilog=SERVICE_ENVIRONMENT,
    )
    _asking(
        commands,
        "doctor",
        "kindred.commands.doctor:examine",
        "find out what is wrong, and say what to do",
        statuses="exit status: 0 all is well, 1 there is something to look at, 2 it cannot work",
    )
    _asking(
        commands,
        "demo",
        "kindred.commands.demo:demo",
        "enroll, identify, verify and cluster real handwriting",
        json=False,
    )


def _comparing(commands: Commands) -> None:
    verify = _asking(
        commands, "verify", "kindred.commands.comparing:verify", "say whether two are the same"
    )
    verify.add_argument("a", metavar="A", help=SAMPLE)
    verify.add_argument("b", metavar="B", help="likewise")
    _comparator(verify)
    verify.add_argument("--target-fmr", type=float, help="false matches that are accepted")
    verify.add_argument("--threshold", type=float, help="score from which on they match")

    enroll = _asking(
        commands,
        "enroll",
        "kindred.commands.enrolling:enroll",
        "enroll a folder that has a folder for each identity",
        statuses="A run that was ended goes on where it was when it is started again.\n"
        "exit status: 0 all is kept, 2 something is not",
    )
    enroll.add_argument("folder", metavar="FOLDER", type=Path, help="FOLDER/IDENTITY/files")
    _gallery(enroll)
    enroll.add_argument("--identity", help="all files are this one's")
    enroll.add_argument("--afresh", action="store_true", help="forget what a run before had done")

    identify = _asking(
        commands,
        "identify",
        "kindred.commands.comparing:identify",
        "say whose samples are, or that they are nobody's",
        statuses="exit status: 0 each is a match, 1 one at least is not, 2 an error",
    )
    identify.add_argument(
        "files", metavar="FILE", nargs="+", help=f"{SAMPLE}; a folder: its files"
    )
    _gallery(identify)
    identify.add_argument("--target-fpir", type=float, help="strangers that may be given a name")
    identify.add_argument("--threshold", type=float, help="score from which on one is named")
    identify.add_argument("--rule", choices=("max", "mean", "centroid", "knn"))
    identify.add_argument("--top", type=int, help="candidates that are told, by --json")

    cluster = _asking(
        commands,
        "cluster",
        "kindred.commands.comparing:cluster",
        "say which files of a folder belong together",
        statuses="exit status: 0, or 2 where a file could not be used",
    )
    cluster.add_argument("folder", metavar="FOLDER", nargs="?", type=Path)
    cluster.add_argument("--gallery", help="a gallery's samples instead")
    _comparator(cluster)
    cluster.add_argument("--threshold", type=float, help="score at which to cut")
    cluster.add_argument("--target-fmr", type=float, help="false matches at the cut")
    cluster.add_argument("--target-purity", type=float, help="share that lies where it belongs")
    cluster.add_argument("--method", choices=("linkage", "leader"))


def _measuring(commands: Commands) -> None:
    evaluate = _asking(
        commands,
        "evaluate",
        "kindred.commands.evaluation:evaluate",
        "measure a comparator on your own labelled samples",
        statuses="exit status: 0, or 2 where it could not be measured",
    )
    evaluate.add_argument(
        "source",
        metavar="FOLDER",
        type=Path,
        help="a folder for each identity, or a zip of that; for a comparator of two encoders "
        "folders a and b of such folders",
    )
    _comparator(evaluate)
    evaluate.add_argument("--gallery", help="gallery whose comparator is measured")
    evaluate.add_argument("--html", type=Path, help="write the report as a page here")
    evaluate.add_argument("--seed", type=int, default=0, help="of all that is drawn at random")
    evaluate.add_argument(
        "--apply", action="store_true", help="judge the gallery by these identities from now on"
    )


def _galleries(commands: Commands) -> None:
    room = "kindred.commands.galleries"
    _asking(commands, "ls", f"{room}:ls", "list them")
    show = _asking(commands, "show", f"{room}:show", "describe one")
    show.add_argument("gallery", metavar="GALLERY")
    create = _asking(commands, "create", f"{room}:create", "make an empty one")
    create.add_argument("gallery", metavar="GALLERY")
    _comparator(create)
    create.add_argument("--target-fpir", type=float, help="strangers that may be given a name")
    create.add_argument("--keep-samples", action="store_true", help="keep what is uploaded")
    export = _asking(commands, "export", f"{room}:export", "write all of one to a file")
    export.add_argument("gallery", metavar="GALLERY")
    export.add_argument("target", metavar="FILE", type=Path)
    importing = _asking(commands, "import", f"{room}:import_", "make one of such a file")
    importing.add_argument("source", metavar="FILE", type=Path)
    importing.add_argument("gallery", metavar="GALLERY", help="a name that is free")
    remove = _asking(commands, "rm", f"{room}:remove", "delete some, and all in them")
    remove.add_argument("galleries", metavar="GALLERY", nargs="+")


def _comparators(commands: Commands) -> None:
    room = "kindred.commands.comparators"
    _asking(commands, "ls", f"{room}:ls", "list them")
    show = _asking(commands, "show", f"{room}:show", "describe one")
    show.add_argument("comparator", metavar="COMPARATOR", help="name, or name@version")


def _keys(commands: Commands) -> None:
    new = _command(
        commands,
        "new",
        "kindred.commands.keys:make",
        "make a key: it is printed once, and the service's file has its digest only",
    )
    new.add_argument("--name", required=True, help="what the log calls who uses it")
    new.add_argument("--role", required=True, help="decide, read, enroll or administer")
    new.add_argument(
        "--galleries", required=True, help="names, or beginnings with a *, by commas; '*': all"
    )
    new.add_argument("--days", type=int, help="days until it expires")
    new.add_argument("--into", type=Path, help="append its lines to this file")


def _group(commands: Commands, name: str, what: str) -> Commands:
    group = commands.add_parser(
        name,
        help=what,
        description=_sentence(what),
        epilog=ENVIRONMENT,
        formatter_class=_formatter,
    )
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _command(
    commands: Commands, name: str, run: str, what: str, *, epilog: str = ""
) -> ArgumentParser:
    command: ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=_sentence(what),
        epilog=epilog,
        formatter_class=_formatter,
    )
    command.set_defaults(command=run)
    return command


def _asking(
    commands: Commands,
    name: str,
    run: str,
    what: str,
    *,
    statuses: str = STATUSES,
    json: bool = True,
) -> ArgumentParser:
    """Return a command that asks a service."""
    command = _command(commands, name, run, what, epilog=f"{ENVIRONMENT}\n\n{statuses}")
    command.add_argument("--url", help=f"where the service is; or {URL}")
    command.add_argument("--api-key", "--key", dest="api_key", help=f"API key; or {KEY}")
    if json:
        command.add_argument("--json", action="store_true", help="print one object a line")
    return command


def _comparator(command: ArgumentParser) -> None:
    command.add_argument("--comparator", help="name, or name@version; else the default one")


def _gallery(command: ArgumentParser) -> None:
    command.add_argument("--gallery", default="default", help="else the one named default")


def _formatter(prog: str) -> RawDescriptionHelpFormatter:
    return RawDescriptionHelpFormatter(prog, max_help_position=28)


def _sentence(what: str) -> str:
    return what[0].upper() + what[1:] + "."


class _Version(Action):
    """Looks for the version when it is asked for, and not for every command."""

    def __call__(self, parser: ArgumentParser, *_: object, **__: object) -> NoReturn:
        sys.stdout.write(f"kindred {import_module('kindred').__version__}\n")
        parser.exit()
