"""`kindred doctor`: what commonly goes wrong, looked at in turn, and what to do about it."""

import os
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal
from urllib.parse import urlsplit

import kindred
from kindred.cli import DIFFERENT, ERROR, SAME
from kindred.client import Client
from kindred.commands.terminal import client_of, coloured, say, say_json
from kindred.problems import Forbidden, Problem, Unauthenticated, UnexpectedAnswer, Unreachable

SHADES = {"well": "green", "look": "yellow", "wrong": "red"}
STATUS = {"well": SAME, "look": DIFFERENT, "wrong": ERROR}
REASONS: Mapping[str, str] = {
    "starting": "it is reading its galleries: wait, and look at `details` if it takes long",
    "store-unavailable": "the store does not answer: is KINDRED_REDIS_URL right, and does it run?",
    "store-not-durable": "the store would lose writes: set appendonly yes, appendfsync always and "
    "maxmemory-policy noeviction there",
    "gallery-vanished": "the store forgot a gallery (flushed, or another database): restore "
    "it, or restart the service to accept the loss",
    "no-comparator": "no bundle is served: look at KINDRED_MODELS_STORE and at what was refused",
    "draining": "it was told to end: ask another, or start it again",
}
RUNNING = re.compile(r"^kindred_comparator_info\{(.*)\} ", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@dataclass(frozen=True, slots=True)
class Finding:
    """How something is, and what to do if that is not well."""

    check: str
    state: Literal["well", "look", "wrong"]
    seen: str
    advice: str = ""


def examine(asked: Namespace) -> int:
    """Look at what commonly goes wrong; what cannot be seen without another is left out."""
    status = SAME
    with client_of(asked, patience=0) as client:
        for finding in _findings(client):
            status = max(status, STATUS[finding.state])
            if asked.json:
                say_json(asdict(finding))
                continue
            say(f"{coloured(finding.state.rjust(5), SHADES[finding.state])}  {finding.seen}")
            if finding.advice:
                say(f"       → {finding.advice}")
    return status


def _findings(client: Client) -> Iterator[Finding]:
    yield from _settings(client)
    reached = _reach(client)
    yield reached
    if reached.state == "wrong":
        return
    yield from _readiness(client)
    try:
        yield _version(client)
        yield from _comparators(client)
        yield from _devices(client)
    except Problem as problem:
        yield _refusal(problem)


def _settings(client: Client) -> Iterator[Finding]:
    key = "with an API key" if client.has_key else "without an API key"
    yield Finding("settings", "well", f"asking {client.url} {key}")
    host = urlsplit(client.url).hostname or ""
    proxy = next((name for name in PROXIES if os.environ.get(name)), None)
    if proxy is not None and host in ("127.0.0.1", "localhost", "::1"):
        advice = f"if it cannot be reached, add {host} to NO_PROXY"
        yield Finding("settings", "look", f"{proxy} is set, and the service is local", advice)


def _reach(client: Client) -> Finding:
    try:
        client.live()
    except Unreachable as error:
        advice = "start it with `make serve`, or say where it is: --url or KINDRED_URL"
        return Finding("reach", "wrong", str(error), advice)
    except UnexpectedAnswer as error:
        advice = "something else listens there, or stands before it: is the port right?"
        return Finding("reach", "wrong", str(error), advice)
    except Problem as problem:
        return _refusal(problem)
    return Finding("reach", "well", "it answers")


def _refusal(problem: Problem) -> Finding:
    seen = f"it refuses: {problem.slug}: {problem.detail}"
    if isinstance(problem, Unauthenticated):
        advice = "give a key that holds: --api-key or KINDRED_API_KEY; `kindred key new` makes one"
    elif isinstance(problem, Forbidden):
        advice = (
            "ask for a key of a higher role or a wider scope; without keys, add the host's name "
            "to the service's KINDRED_ALLOWED_HOSTS"
        )
    else:
        advice = f"look for {problem.instance} in the service's log"
    return Finding("key", "wrong", seen, advice)


def _version(client: Client) -> Finding:
    theirs, ours = client.about().version, str(kindred.__version__)
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return Finding("version", "well", f"version {theirs}")
    seen = f"the service is version {theirs}, this client {ours}"
    return Finding("version", "look", seen, "let both be of one release")


def _readiness(client: Client) -> Iterator[Finding]:
    found = client.ready()
    if found.ready:
        yield Finding("ready", "well", f"ready, galleries: {found.galleries}")
        yield Finding("store", "well", "what is acknowledged is on disk in the store")
        return
    for reason in found.reasons:
        known = REASONS.get(reason, "look at `details` in /health/ready")
        yield Finding("ready", "wrong", f"not ready: {reason}", known)
    for detail in found.details:
        yield Finding("details", "look", detail)


def _comparators(client: Client) -> Iterator[Finding]:
    found = client.list_comparators()
    names = ", ".join(f"{one.name}@{one.version}" for one in found.comparators)
    if names:
        yield Finding("comparators", "well", f"compares by {names}")
    for bundle, reason in found.refused.items():
        advice = "make the bundle anew, or take it away"
        yield Finding("comparators", "look", f"{bundle} is not served: {reason}", advice)


def _devices(client: Client) -> Iterator[Finding]:
    try:
        running = [dict(LABEL.findall(labels)) for labels in RUNNING.findall(client.metrics())]
    except Forbidden:
        seen = "the key may not read /metrics: what comparators run on was not looked at"
        yield Finding("device", "look", seen, "a key of role read for all galleries may")
        return
    yield from map(_device, running)


def _device(labels: Mapping[str, str]) -> Finding:
    runs, wanted = labels["provider"], labels["provider_wanted"]
    seen = f"{labels['comparator']} runs on {runs}"
    if wanted == "cuda" and "cuda" not in runs.lower():
        advice = "install the gpu extra instead of cpu, and look at the driver; see the log"
        return Finding("device", "look", f"{seen}, though {wanted} was asked for", advice)
    return Finding("device", "well", seen)
